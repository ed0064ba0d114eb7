"""What makes two verdicts the same: everything they rest on, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticUndefined
from releases_under_test import manifest, release_fields, releases
from scored_videos import POLICY

from wildgate_server.caching.verdict_key import WITHOUT_EFFECT, VerdictBasis, decoder_digests
from wildgate_server.policy import Policy, load_policy
from wildgate_server.repository.releases import Release
from wildgate_server.sampling.sampling_settings import SamplingSettings
from wildgate_server.source.source_settings import SourceSettings

RELEASE = releases(1).serving


def key(subject: str = "blake3:00", release: Release = RELEASE, policy: Policy = POLICY, **parts: Any) -> str:
    given = {
        "manifest": manifest(),
        "decoders": {"clip_decoder/1/model.py": "blake3:00"},
        "profile": "cpu",
        "sampling": SamplingSettings(workers=1),
        "source": SourceSettings(),
        "secret": "s",
        **parts,
    }
    return VerdictBasis(**given).key(subject, release, policy)


def test_what_is_equal_has_one_key_wherever_it_is_made() -> None:
    copy = Release.model_validate(RELEASE.model_dump())
    policy = Policy.model_validate(POLICY.model_dump(mode="json"))
    assert key() == key(release=copy, policy=policy)
    assert len(key()) == 64


def test_another_video_has_another_key() -> None:
    assert key("blake3:00") != key("blake3:01")


def test_a_policy_that_was_edited_without_a_new_version_is_another(tmp_path: Path) -> None:
    text = """
version: same
labels:
  rhino_horn: {{group: product, taxon: Rhinocerotidae, cites_appendix: I, review: {{score: {score}, seconds: 0}}}}
"""
    policies = []
    for number, score in enumerate((0.5, 0.6, 0.5)):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text.format(score=score))
        policies.append(load_policy(file))
    first, edited, again = (key(policy=policy) for policy in policies)
    assert first != edited
    assert first == again


@pytest.mark.parametrize(
    "changes",
    [
        {"files": {"model.onnx": "blake3:" + "1" * 64}},
        {"name": "n"},
        {"version": 2},
        {"precision": "int8"},
        {"labels": ["rhino_horn", "live_bear"]},
    ],
    ids=str,
)
def test_another_release_has_another_key(changes: dict[str, Any]) -> None:
    """Also one with the same name and version, from another repository of a fleet that shares its cache."""
    assert key() != key(release=Release.model_validate({**release_fields(1), **changes}))


@pytest.mark.parametrize("name", [name for name in SamplingSettings.model_fields if name not in WITHOUT_EFFECT])
def test_every_setting_of_sampling_counts(name: str) -> None:
    default = SamplingSettings.model_fields[name].default
    assert default is not PydanticUndefined
    changed = (not default) if isinstance(default, bool) else default * 2
    assert key(sampling=SamplingSettings(workers=1, **{name: changed})) != key()


def test_settings_without_effect_do_not() -> None:
    assert set(SamplingSettings.model_fields) >= WITHOUT_EFFECT
    other = SamplingSettings(workers=7, fetch_workers=5, timeout_s=3, worker_memory_mb=1024)
    assert key(sampling=other) == key()
    assert key(source=SourceSettings(file_roots=(Path("/videos"),))) == key()


def test_limits_count_because_they_refuse_videos() -> None:
    assert key(source=SourceSettings(max_seconds=10)) != key()
    assert key(source=SourceSettings(max_bytes=10)) != key()


def test_the_secret_that_frames_are_drawn_with_counts() -> None:
    assert key(secret="another") != key()


def test_the_profile_and_the_manifest_count() -> None:
    changed = manifest().model_copy(update={"letterbox_value": 0})
    assert len({key(), key(profile="rtx"), key(manifest=changed)}) == 3


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    decoder, software = tmp_path / "clip_decoder" / "1", tmp_path / "clip_decoder_software" / "1"
    for directory in (decoder, software, decoder.with_name("configs"), tmp_path / "wildlife_detector"):
        directory.mkdir(parents=True)
    for name in ("1/model.py", "1/dali.py", "frames.json", "config.pbtxt", "configs/gpu.pbtxt"):
        (tmp_path / "clip_decoder" / name).write_text(name)
    (software / "model.py").symlink_to("../../clip_decoder/1/model.py")
    (software.parent / "config.pbtxt").write_text("software")
    (tmp_path / "wildlife_detector" / "config.pbtxt").write_text("a release's own")
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "clip_decoder/1/model.py",
        "clip_decoder/1/dali.py",
        "clip_decoder/frames.json",
        "clip_decoder/configs/gpu.pbtxt",
        "clip_decoder_software/config.pbtxt",
    ],
)
def test_a_decoder_that_makes_other_pictures_counts(repository: Path, name: str) -> None:
    before = key(decoders=decoder_digests(repository))
    assert key(decoders=decoder_digests(repository)) == before
    (repository / name).write_text("another")
    assert key(decoders=decoder_digests(repository)) != before


def test_what_is_no_decoder_s_and_what_python_leaves_behind_do_not(repository: Path) -> None:
    before = decoder_digests(repository)
    (repository / "wildlife_detector" / "config.pbtxt").write_text("another")
    (repository / "clip_decoder" / "1" / "__pycache__").mkdir()
    (repository / "clip_decoder" / "1" / "__pycache__" / "model.cpython-311.pyc").write_bytes(b"compiled")
    assert decoder_digests(repository) == before
    assert set(before) >= {"clip_decoder/1/model.py", "clip_decoder_software/1/model.py"}


def test_a_decoder_behind_a_link_counts_like_one_in_its_place(repository: Path, tmp_path: Path) -> None:
    before = decoder_digests(repository)
    version = repository / "clip_decoder" / "1"
    version.symlink_to(version.rename(tmp_path / "elsewhere"))
    (repository / "clip_decoder" / "..data").symlink_to(tmp_path / "elsewhere")  # as in a Kubernetes volume
    assert decoder_digests(repository) == before


def test_parts_cannot_run_into_each_other() -> None:
    assert key("a", policy=POLICY.model_copy(update={"version": "b"})) != key("a\0", policy=POLICY)


def test_what_is_no_longer_in_force_is_not_taken_for_what_is() -> None:
    """Fingerprints are remembered by object; a new policy at an old one's place in memory must not get its key."""
    basis = VerdictBasis(
        manifest=manifest(),
        decoders={},
        profile="cpu",
        sampling=SamplingSettings(),
        source=SourceSettings(),
        secret="s",
    )
    keys = {
        basis.key("blake3:00", RELEASE, POLICY.model_copy(update={"version": str(number)})) for number in range(200)
    }
    assert len(keys) == 200
