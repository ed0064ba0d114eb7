"""A rollout changes in one step, and the configs follow it; after every step the repository loads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from publish_seam import POLICY, EndingFiles, Killed, QuickFiles, check_it_loads, contents, failure, make_repository

from wildgate_build.errors import PublishError
from wildgate_build.publish.repository import Repository
from wildgate_build.publish.rollout_change import change_rollout, unsettled
from wildgate_build.publish.rollout_steps import promote, roll_back, start_canary, stop_canary
from wildgate_server.repository.model_configs import check_configs
from wildgate_server.repository.releases import Rollout, load_rollout

Step = Callable[[Rollout], Rollout]
STEPS: dict[str, tuple[list[Step], Step]] = {
    "canary": ([], lambda rollout: start_canary(rollout, 2, 0.05)),
    "another canary": ([lambda rollout: start_canary(rollout, 2, 0.05)], lambda rollout: start_canary(rollout, 3, 0.1)),
    "stop": ([lambda rollout: start_canary(rollout, 2, 0.05)], stop_canary),
    "promote the canary": ([lambda rollout: start_canary(rollout, 2, 0.05)], lambda rollout: promote(rollout, None)),
    "promote another": ([lambda rollout: start_canary(rollout, 2, 0.05)], lambda rollout: promote(rollout, 3)),
    "promote": ([], lambda rollout: promote(rollout, 2)),
    "roll back": ([lambda rollout: promote(rollout, 2)], roll_back),
}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path, 1, 2, 3)


def prepared(directory: Path, steps: list[Step]) -> Repository:
    """A repository with three versions that has taken these steps; made once, and then copied.

    By hard links: what is changed is written anew elsewhere, and moved into its place.
    """
    template = directory.parent / "template"
    if not template.exists():
        template.mkdir()
        repository = make_repository(template, 1, 2, 3)
        for step in steps:
            change_rollout(repository, step, POLICY)
    return Repository(Path(shutil.copytree(template, directory, copy_function=os.link)) / "models", QuickFiles())


def settled(repository: Repository) -> bool:
    """Whether configs and directories are those of the rollout, and nothing else is there."""
    serving = repository.rollout.serving
    directories = {path.name for path in (repository.path / "video_scorer").iterdir() if path.is_dir()}
    left_over = [path for path in repository.path.rglob(".*") if path.name != ".gitkeep"]
    return not unsettled(repository) and directories == {str(serving)} and not left_over


@pytest.mark.parametrize(("before", "step"), STEPS.values(), ids=list(STEPS))
def test_configs_follow_the_rollout(tmp_path: Path, before: list[Step], step: Step) -> None:
    repository = prepared(tmp_path / "r", before)
    expected = step(repository.rollout)
    assert change_rollout(repository, step, POLICY) == expected
    assert check_it_loads(repository) == load_rollout(repository.path) == expected
    assert check_configs(repository.manifest, expected, repository.path) == []
    assert settled(repository)
    assert (repository.path / "video_scorer_canary").exists() == (expected.canary is not None)


def test_there_and_back_is_as_before(repository: Repository) -> None:
    before = contents(repository)
    change_rollout(repository, lambda rollout: promote(rollout, 2), POLICY)
    change_rollout(repository, roll_back, POLICY)
    after = contents(repository)
    assert after.pop("rollout.yaml").endswith(b"serving: 1\n")
    before.pop("rollout.yaml")
    assert after == before


@pytest.mark.parametrize(("before", "step"), STEPS.values(), ids=list(STEPS))
def test_killed_at_any_step_it_loads_and_is_mended_by_the_next(tmp_path: Path, before: list[Step], step: Step) -> None:
    seen = set()
    for last in count():
        repository = prepared(tmp_path / str(last), before)
        old = repository.rollout
        new = step(old)
        files = EndingFiles(last, full_disk=False)
        with suppress(Killed):
            change_rollout(Repository(repository.path, files), step, POLICY)
        found = check_it_loads(repository)
        assert found in (old, new)
        seen.add(found == new)

        # The next change mends what was left, and so does starting a server (or `make configs`).
        another = Rollout(serving=3 if found.serving != 3 else 1)
        change_rollout(repository, lambda _, another=another: another, POLICY)
        assert check_it_loads(repository) == another
        assert settled(repository)
        if not files.ended:
            break
    assert seen == {False, True}, "before its own step the old one answers, from there on the new one"


@pytest.mark.parametrize(("before", "step"), STEPS.values(), ids=list(STEPS))
def test_a_full_disk_is_an_error_and_leaves_the_old_rollout(tmp_path: Path, before: list[Step], step: Step) -> None:
    repository = prepared(tmp_path / "r", before)
    untouched = contents(repository)
    for last in count():
        files = EndingFiles(last, full_disk=True)
        ending = Repository(repository.path, files)
        error = failure(lambda ending=ending: change_rollout(ending, step, POLICY))
        if not files.ended:
            break
        assert "No space left on device" in str(error)
        assert contents(repository) == untouched
        assert settled(repository)
    assert last > 4


def test_what_a_step_refuses_changes_nothing(repository: Repository) -> None:
    before = contents(repository)
    with pytest.raises(PublishError):
        change_rollout(repository, roll_back, POLICY)
    with pytest.raises(PublishError, match="has no version 4 of the detector; there is 1, 2, 3"):
        change_rollout(repository, lambda rollout: promote(rollout, 4), POLICY)
    lean = POLICY.model_copy(update={"labels": {"live_bear": POLICY.labels["live_bear"]}})
    with pytest.raises(PublishError, match=r"no rule for rhino_horn, which version 2 \(number_2/2\) may report"):
        change_rollout(repository, lambda rollout: promote(rollout, 2), lean)
    with repository.locked(), pytest.raises(PublishError):
        change_rollout(repository, lambda rollout: promote(rollout, 2), POLICY)
    assert contents(repository) == before


@pytest.mark.parametrize("name", ["model.onnx", "release.yaml"])
def test_a_version_that_is_not_as_published_is_refused(repository: Repository, name: str) -> None:
    (repository.path / "wildlife_detector" / "2" / name).write_bytes(b"another")
    with pytest.raises(PublishError, match=name):
        change_rollout(repository, lambda rollout: promote(rollout, 2), POLICY)
    assert check_it_loads(repository) == Rollout(serving=1)
