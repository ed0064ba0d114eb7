"""A detector becomes a version, as a whole or not at all."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from publish_seam import (
    EndingFiles,
    Killed,
    check_it_loads,
    contents,
    failure,
    make_repository,
    publication,
    publish_file,
    standard_file,
)

from wildgate_build.errors import OutputError, PublishError
from wildgate_build.publish.publishing import publish
from wildgate_build.publish.repository import Repository
from wildgate_build.standard_file import StandardFile, file_digest
from wildgate_server.repository.releases import Rollout


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path, 1)


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    return standard_file(tmp_path / "mine.onnx")


def test_a_release_says_what_it_is(repository: Repository, detector: Path) -> None:
    before = contents(repository)
    release = publish(repository, publication(detector, metrics={"recall": 0.5}))
    assert (release.model_version, release.labels) == ("mine/2", ("live_bear", "rhino_horn"))
    assert (release.frames_per_window, release.frame_side_px, release.detections_per_frame) == (8, 320, 16)
    assert (release.precision, release.metrics) == ("fp32", {"recall": 0.5})
    assert (release.origin.family, release.origin.source_digest) == ("rule", f"blake3:{7:064x}")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", release.origin.published)
    assert set(release.files) == {"model.onnx", "model.py"} | {
        path.name for path in (repository.path / "wildlife_detector" / "1").glob("*.py")
    }
    assert release.files["model.onnx"] == file_digest(detector)
    assert repository.verified_release(2) == release

    after = contents(repository)
    assert {name: after[name] for name in before} == before, "nothing else has changed"
    assert all(name.startswith("wildlife_detector/2/") for name in after.keys() - before.keys())
    assert check_it_loads(repository) == Rollout(serving=1)


def test_versions_are_numbered_on_and_never_overwritten(repository: Repository, detector: Path) -> None:
    assert [publish_file(repository, detector) for _ in range(2)] == [2, 3]
    assert publish_file(repository, detector, version=7) == 7
    assert publish_file(repository, detector) == 8
    before = contents(repository)
    with pytest.raises(PublishError, match="has a version 3 already"):
        publish_file(repository, detector, version=3)
    assert contents(repository) == before


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"shapes": (4, 320, 16)}, PublishError, r"frames_per_window \(F\) is 4, not 8\..*second repository"),
        ({"shapes": (8, 256, 9)}, PublishError, r"\(S\) is 256, not 320; detections_per_frame \(K\) is 9, not 16"),
        (
            {"labels": ("live_bear", "moon_dust", "sun_ray")},
            PublishError,
            r"no rule for moon_dust, sun_ray, which .*mine\.onnx may report",
        ),
        ({"name": "Über Model"}, PublishError, r"name: .*'Über Model'"),
        ({"source_digest": "unknown"}, PublishError, r"origin\.source_digest: .*'unknown'"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_changes(
    repository: Repository, tmp_path: Path, changes: dict, error: type[PublishError], message: str
) -> None:
    before = contents(repository)
    with pytest.raises(error, match=message):
        publish_file(repository, standard_file(tmp_path / "mine.onnx", **changes))
    assert contents(repository) == before


def test_a_file_that_changes_meanwhile_is_refused(repository: Repository, detector: Path, tmp_path: Path) -> None:
    read = publication(detector)
    standard_file(detector, name="another")
    before = contents(repository)
    with pytest.raises(PublishError, match="changed while it was published"):
        publish(repository, read)
    assert contents(repository) == before


def test_two_at_once_are_one_and_a_refusal(repository: Repository, detector: Path) -> None:
    with repository.locked(), pytest.raises(PublishError, match="another command is writing"):
        publish_file(repository, detector)
    assert publish_file(repository, detector) == 2, "the lock went with its holder"


def test_killed_at_any_step_the_old_version_serves_on(tmp_path: Path, detector: Path) -> None:
    for last in count():
        repository = make_repository(tmp_path / str(last), 1)
        before = contents(repository)
        files = EndingFiles(last, full_disk=False)
        with suppress(Killed):
            publish_file(Repository(repository.path, files), detector)
        assert check_it_loads(repository) == Rollout(serving=1)
        after = contents(repository)
        assert {name: after[name] for name in before} == before
        for version in repository.versions:
            repository.verified_release(version)

        assert publish_file(repository, detector) == max(repository.versions)
        assert not list((repository.path / "wildlife_detector").glob(".*")), "what was left behind is gone"
        if not files.ended:
            break
    assert last > 6


def test_a_full_disk_is_an_error_and_changes_nothing(tmp_path: Path, detector: Path) -> None:
    for last in count():
        repository = make_repository(tmp_path / str(last), 1)
        before = contents(repository)
        files = EndingFiles(last, full_disk=True)
        ending = Repository(repository.path, files)
        error = failure(lambda ending=ending: publish_file(ending, detector))
        if not files.ended:
            break
        assert "No space left on device" in str(error)
        assert contents(repository) == before
        assert not list((repository.path / "wildlife_detector").glob(".*"))
    assert last > 3


def test_a_directory_that_cannot_be_written_is_an_error(repository: Repository, detector: Path) -> None:
    class ReadOnly(EndingFiles):
        def make_directory(self, directory: Path) -> None:
            raise PermissionError(13, "Permission denied", str(directory))

    with pytest.raises(OutputError, match=r"wildlife_detector/\.unfinished-\w+: cannot be written: Permission denied"):
        publish_file(Repository(repository.path, ReadOnly(0, full_disk=True)), detector)


def test_engines_may_have_a_file_of_their_own(repository: Repository, detector: Path, tmp_path: Path) -> None:
    other = standard_file(tmp_path / "for-engines.onnx", precision="fp16")
    release = publish(repository, publication(detector, for_engines=StandardFile.read(other)))
    directory = repository.path / "wildlife_detector" / "2"
    assert (directory / "engine.onnx").read_bytes() == other.read_bytes()
    assert release.files["engine.onnx"] == file_digest(other) != release.files["model.onnx"]
    assert release.precision == "fp32"


def test_engines_of_another_detector_are_refused(repository: Repository, detector: Path, tmp_path: Path) -> None:
    other = standard_file(tmp_path / "for-engines.onnx", name="someone_elses")
    before = contents(repository)
    with pytest.raises(PublishError, match="name is someone_elses, not mine"):
        publish(repository, publication(detector, for_engines=StandardFile.read(other)))
    assert contents(repository) == before
