"""What keeps a gateway from starting, and what does not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from releases_under_test import write_repository

from wildgate_server.caching.verdict_cache import CacheSettings
from wildgate_server.errors import SettingsConflict, StartError
from wildgate_server.gateway import run_gateway
from wildgate_server.repository.releases import ReleaseError, Rollout
from wildgate_server.settings import ServerSettings

POLICY = """
version: test
labels:
  live_bear: {group: live_animal, taxon: Ursidae, cites_appendix: I, review: {score: 0.5, seconds: 0}}
  rhino_horn: {group: product, taxon: Rhinocerotidae, cites_appendix: I, review: {score: 0.5, seconds: 0}}
"""
NOBODY = "127.0.0.1:1"


def settings(repository: Path, directory: Path, **backend: object) -> ServerSettings:
    policy = directory / "policy.yaml"
    policy.write_text(POLICY)
    return ServerSettings(
        endpoint={"address": "127.0.0.1:0"},
        sampling={"workers": 1, "timeout_s": 60},
        backend={"model_repository": repository, **backend},
        policy=policy,
    )


def half_deleted(repository: Path) -> None:
    (repository / "wildlife_detector" / "2" / "release.yaml").unlink()


def changed(repository: Path) -> None:
    (repository / "wildlife_detector" / "2" / "model.onnx").write_text("another")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    directory = tmp_path / "repository"
    directory.mkdir()
    return write_repository(directory, {"serving": 1, "canary": {"version": 2, "share": 0.5}}, 1, 2)


def without_a_rule(repository: Path) -> None:
    release = repository / "wildlife_detector" / "2" / "release.yaml"
    release.write_text(release.read_text().replace("live_bear", "unheard_of"))


async def started(configured: ServerSettings) -> Rollout:
    """Starts and stops a gateway; what it took into force."""
    async with asyncio.timeout(120), run_gateway(configured) as gateway:
        assert gateway.address
        return gateway.router.releases.rollout


@pytest.mark.parametrize("damage", [half_deleted, changed, without_a_rule])
async def test_a_broken_version_on_trial_does_not_keep_what_serves_from_starting(
    repository: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(repository)
    assert await started(settings(repository, tmp_path, target=NOBODY)) == Rollout(serving=1)


async def test_a_broken_version_that_serves_does(repository: Path, tmp_path: Path) -> None:
    (repository / "wildlife_detector" / "1" / "model.onnx").write_text("another")
    with pytest.raises(ReleaseError, match="not the file that was published"):
        await started(settings(repository, tmp_path, target=NOBODY))


async def test_a_redis_without_its_client_is_named_with_its_remedy(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "wildgate_server.caching.redis_verdicts", raising=False)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    configured = settings(repository, tmp_path, target=NOBODY)
    (tmp_path / "secret").write_bytes(bytes(16))
    cache = CacheSettings(redis_url="redis://localhost", secret_file=tmp_path / "secret")
    configured = configured.model_copy(update={"cache": cache})
    with pytest.raises(StartError, match=r"cache\.redis_url: needs redis.*wildgate\[redis\]"):
        await started(configured)


async def test_profile_gpu_wants_an_external_triton(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsConflict, match=r"backend\.profile gpu needs an external Triton"):
        await started(settings(repository, tmp_path, profile="gpu"))
