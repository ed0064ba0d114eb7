"""Gateways that run whole, in front of a real embedded Triton."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from gateway_under_test import GatewayUnderTest, MakeSettings, running
from patch_detector import POLICY, patch_repository

from wildgate_server.settings import ServerSettings
from wildgate_server.triton.backend_settings import BackendSettings
from wildgate_server.triton.embedded import EmbeddedTriton


@pytest.fixture(scope="session")
def patch_models(model_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model repository with the detector of `patch_detector`."""
    return patch_repository(model_repository, tmp_path_factory.mktemp("patch_models"))


@pytest.fixture(scope="session")
def policy_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy for the labels of `patch_detector`."""
    file = tmp_path_factory.mktemp("policy") / "policy.yaml"
    file.write_text(POLICY)
    return file


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def patch_triton(patch_models: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A running Triton with `patch_models`, as an external one; shared, so leave it as it was.

    It is started again at the same address where it crashes, as tritonserver 2.51 does now and then on a busy machine,
    in what its Python backend shares with the model processes.
    """
    config = BackendSettings(
        model_repository=patch_models,
        log_dir=tmp_path_factory.mktemp("patch_triton"),
        instances=2,
        startup_timeout_s=120,
    )
    address = tmp_path_factory.mktemp("t") / "triton"
    started = asyncio.get_running_loop().create_future()

    async def keep() -> None:
        while True:
            async with EmbeddedTriton(config) as triton:
                address.unlink(missing_ok=True)
                address.symlink_to(triton.endpoints.grpc.removeprefix("unix:"))
                if not started.done():
                    started.set_result(None)
                await triton.wait()

    keeping = asyncio.create_task(keep())
    await asyncio.wait({keeping, started}, return_when=asyncio.FIRST_COMPLETED)
    if keeping.done():
        keeping.result()
    yield f"unix:{address}"
    keeping.cancel()
    await asyncio.wait({keeping})


@pytest.fixture(scope="session")
def make_settings(patch_triton: str, patch_models: Path, policy_file: Path) -> MakeSettings:
    """Settings of a gateway in front of `patch_triton`; sections given replace the test's own."""

    def make(**sections: dict) -> ServerSettings:
        defaults: dict[str, dict] = {
            "endpoint": {"address": "127.0.0.1:0"},
            # No frames are drawn: which ones are looked at is known.
            "sampling": {"workers": 1, "timeout_s": 60, "random_share": 0.0},
            "backend": {"target": patch_triton, "model_repository": patch_models},
            "cache": {"max_entries": 0},  # the same clips are sent again and again, and each time to be scored
        }
        merged = {name: {**defaults.get(name, {}), **sections.get(name, {})} for name in (*defaults, *sections)}
        return ServerSettings(policy=policy_file, log_level="warning", **merged)

    return make


@pytest.fixture(scope="session")
def allowed_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared gateway may read `file:` URIs."""
    return tmp_path_factory.mktemp("allowed")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gateway(make_settings: MakeSettings, allowed_root: Path) -> AsyncIterator[GatewayUnderTest]:
    """A gateway with two sampling workers that batches eagerly; shared, so leave it as it was."""
    settings = make_settings(
        source={"file_roots": (allowed_root,)},
        sampling={"workers": 2, "timeout_s": 60},
        batch={"max_wait_ms": 20},
    )
    async with running(settings) as started:
        yield started


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def narrow_gateway(make_settings: MakeSettings) -> AsyncIterator[GatewayUnderTest]:
    """A gateway with room for one video, one sampling worker and every source setting at its default."""
    async with running(make_settings(admission={"max_in_flight": 1, "retry_after_ms": 1250})) as started:
        yield started
