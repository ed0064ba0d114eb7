"""Releases and rollouts as files: read, compared with the manifest and with what lies there, refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkout import MODEL_REPOSITORY
from releases_under_test import manifest, releases, write_repository

from wildgate_server.repository.manifest import load_manifest
from wildgate_server.repository.releases import (
    Canary,
    ChangingRollout,
    ReleaseError,
    Rollout,
    load_release,
    load_releases,
    verify_files,
)

TRIALS = Canary(version=2, share=0.5), Canary(version=3, share=0.1)
TRIAL = {"serving": 1, "previous": 3, "canary": {"version": 2, "share": 0.25}}


def test_the_shipped_releases_are_what_they_say() -> None:
    shipped = load_releases(MODEL_REPOSITORY, load_manifest(MODEL_REPOSITORY))
    assert shipped.serving.name == "reference"
    assert "elephant_tusk" in shipped.serving.labels
    for release in shipped.by_version.values():
        verify_files(MODEL_REPOSITORY, release)


def test_a_rollout_names_the_versions_that_answer(tmp_path: Path) -> None:
    loaded = load_releases(write_repository(tmp_path, TRIAL, 1, 2), manifest())
    assert loaded.rollout == Rollout(serving=1, previous=3, canary=Canary(version=2, share=0.25))
    assert {version: release.model_version for version, release in loaded.by_version.items()} == {1: "m/1", 2: "m/2"}
    assert loaded.serving.model_version == "m/1"
    assert list(loaded.without_canary().by_version) == [1]
    assert loaded.without_canary().rollout.versions == (1,)


@pytest.mark.parametrize(
    ("rollout", "message"),
    [
        ({"serving": 0}, "serving: Input should be greater than or equal to 1 (is 0)"),
        ({}, "serving: Field required"),
        ({"serving": 1, "canary": {"version": 1, "share": 0.5}}, "version 1 cannot serve and be on trial at once"),
        ({"serving": 1, "canary": {"version": 2, "share": 0}}, "canary.share: Input should be greater than 0 (is 0)"),
        ({"serving": 1, "canary": {"version": 2, "share": 1.5}}, "canary.share"),
        ({"serving": 1, "shadow": 2}, "shadow: Extra inputs are not permitted (is 2)"),
        ({"serving": 4}, "4/release.yaml: cannot be read"),
    ],
)
def test_a_bad_rollout_is_named(tmp_path: Path, rollout: dict, message: str) -> None:
    with pytest.raises(ReleaseError) as caught:
        load_releases(write_repository(tmp_path, rollout, 1, 2), manifest())
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 9}, "version: says 9, the directory 1"),
        ({"frame_side_px": 640}, "frame_side_px: is 640, the manifest says 320"),
        ({"frames_per_window": 8}, "frames_per_window: is 8, the manifest says 4"),
        ({"detections_per_frame": 3}, "detections_per_frame: is 3, the manifest says 2"),
        ({"labels": []}, "labels: "),
        ({"labels": ["Ivory"]}, "labels: label 'Ivory' is not lower_snake_case"),
        ({"labels": ["a", "b", "a"]}, "labels: label 'a' appears 2 times"),
        ({"precision": "int4"}, "precision: Input should be 'fp32', 'fp16' or 'int8' (is 'int4')"),
        ({"files": {"model.onnx": "md5:00"}}, "files.model.onnx: "),
    ],
)
def test_a_bad_release_is_named(tmp_path: Path, change: dict, message: str) -> None:
    repository = write_repository(tmp_path, {"serving": 1}, 1, **change)
    with pytest.raises(ReleaseError) as caught:
        load_release(repository, 1, manifest())
    assert str(caught.value).startswith(str(repository / "wildlife_detector" / "1" / "release.yaml"))
    assert message in str(caught.value)


def test_a_file_that_was_changed_or_lost_is_named(tmp_path: Path) -> None:
    repository = write_repository(tmp_path, {"serving": 1}, 1)
    release = load_release(repository, 1, manifest())
    graph = repository / "wildlife_detector" / "1" / "model.onnx"
    verify_files(repository, release)
    graph.write_text("another")
    with pytest.raises(ReleaseError, match=r"model\.onnx: is blake3:\w+, release\.yaml says blake3:\w+"):
        verify_files(repository, release)
    graph.unlink()
    with pytest.raises(ReleaseError, match=r"model\.onnx: cannot be read: No such file"):
        verify_files(repository, release)


ALONE, OLD, NEW = (Rollout(serving=1, canary=canary) for canary in (None, *TRIALS))


@pytest.mark.parametrize(
    ("to", "in_force", "loaded", "canary", "versions"),
    [
        (Rollout(serving=1), None, (), None, (1,)),
        (Rollout(serving=3), ALONE, (1, 2), None, (3, 1, 2)),  # old versions stay loaded beside the new one
        (
            Rollout(serving=2),
            OLD,
            (),
            OLD.canary,
            (2, 1),
        ),  # what was on trial keeps its ensembles
        (NEW, OLD, (), NEW.canary, (1, 3, 2)),  # a new trial takes the old one's place
    ],
)
def test_a_rollout_that_takes_over(
    to: Rollout, in_force: Rollout | None, loaded: tuple[int, ...], canary: Canary | None, versions: tuple[int, ...]
) -> None:
    changing = ChangingRollout.to(to, in_force, loaded)
    assert (changing.serving, changing.canary, changing.versions) == (to.serving, canary, versions)


def test_releases_in_memory_are_those_on_disk(tmp_path: Path) -> None:
    rollout = {"serving": 1, "canary": {"version": 2, "share": 0.5}}
    assert load_releases(write_repository(tmp_path, rollout, 1, 2), manifest()) == releases(1, canary=2)
