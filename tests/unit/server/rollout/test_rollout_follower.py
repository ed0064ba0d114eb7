"""The gateway follows the file: good changes in order, bad ones not at all."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from releases_under_test import manifest, releases, write_repository
from structlog.testing import capture_logs

from wildgate_server.inference.batcher import BatchSettings
from wildgate_server.inference.release_router import ReleaseRouter
from wildgate_server.policy import PolicyError
from wildgate_server.repository.releases import Releases, Rollout
from wildgate_server.rollout.model_rollout import NotLoaded
from wildgate_server.rollout.rollout_follower import NotReadyYet, RolloutFollower, RolloutState


class FakeBackend:
    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[int, ...], int]] = []
        self.bring_error: Exception | None = None
        self.settle_error: Exception | None = None
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.router: ReleaseRouter

    async def bring(self, rollout: Rollout) -> None:
        self._note("bring", rollout)
        if self.bring_error:
            raise self.bring_error

    async def settle(self, rollout: Rollout) -> None:
        self._note("settle", rollout)
        await self.go_on.wait()
        if self.settle_error:
            raise self.settle_error

    def _note(self, what: str, rollout: Rollout) -> None:
        self.calls.append((what, rollout.versions, self.router.releases.rollout.serving))


class Following:
    """A follower of a repository with the versions 1 to 3, of which 1 serves."""

    def __init__(self, directory: Path) -> None:
        self.repository = write_repository(directory, {"serving": 1}, 1, 2, 3)
        self.backend = FakeBackend()
        self.backend.router = self.router = ReleaseRouter(BatchSettings(), self._detect, releases(1))
        self.refusal: Exception | None = None
        self.checked_in: int | None = None
        self.now = 100.0
        self.follower = RolloutFollower(
            self.repository, manifest(), self.router, self.backend, self._check, clock=lambda: self.now
        )

    def write(self, **rollout: Any) -> None:
        (self.repository / "rollout.yaml").write_text(yaml.safe_dump(rollout))

    def _check(self, found: Releases) -> None:
        self.checked_in = threading.get_ident()
        if self.refusal:
            raise self.refusal

    async def _detect(self, *_: Any) -> Any:
        raise AssertionError("nothing is asked for here")


@pytest.fixture
def following(tmp_path: Path) -> Following:
    return Following(tmp_path)


async def test_a_file_that_says_what_is_in_force_does_nothing(following: Following) -> None:
    await following.follower.follow()
    assert following.backend.calls == []
    assert following.follower.state is RolloutState.IN_FORCE


async def test_a_change_is_loaded_switched_to_and_cleared_up_after(following: Following) -> None:
    following.write(serving=2, previous=1, canary={"version": 3, "share": 0.5})
    await following.follower.follow()
    await quiet()
    assert following.backend.calls == [("bring", (2, 3), 1), ("settle", (2, 3), 2)]
    assert following.router.releases == releases_of(following)
    await following.follower.follow()
    assert len(following.backend.calls) == 2


async def quiet() -> None:
    """Until what can go on by itself has done so."""
    for _ in range(20):
        await asyncio.sleep(0)


def releases_of(following: Following) -> Releases:
    expected = releases(2, canary=3)
    return Releases(expected.rollout.model_copy(update={"previous": 1}), expected.by_version)


async def test_what_is_old_is_cleared_up_after_its_last_video(following: Following) -> None:
    following.write(serving=2)
    with following.router.held():
        await following.follower.follow()
        assert following.router.releases.rollout.serving == 2
        await quiet()
        assert [call[0] for call in following.backend.calls] == ["bring"]
    await quiet()
    assert [call[0] for call in following.backend.calls] == ["bring", "settle"]


async def test_a_rollback_does_not_wait_for_old_videos(following: Following) -> None:
    following.write(serving=2)
    with following.router.held():
        await following.follower.follow()
        await quiet()
        following.write(serving=1)
        async with asyncio.timeout(30):
            await following.follower.follow()
        assert following.router.releases.rollout.serving == 1
        await quiet()
        assert [call[:2] for call in following.backend.calls] == [("bring", (2,)), ("bring", (1,))]
    await quiet()
    assert following.backend.calls[2:] == [("settle", (1,), 1)], "what was superseded is not settled any more"


async def test_after_a_change_that_is_refused_clearing_up_goes_on(following: Following) -> None:
    following.write(serving=2)
    with following.router.held():
        await following.follower.follow()
        await quiet()
        following.backend.bring_error = NotLoaded("broken")
        following.write(serving=3)
        await following.follower.follow()
    await quiet()
    assert following.backend.calls[2:] == [("settle", (2,), 2)]


async def test_what_is_being_unloaded_is_done_before_anything_is_loaded(following: Following) -> None:
    following.write(serving=2)
    following.backend.go_on.clear()
    await following.follower.follow()
    await quiet()
    following.write(serving=3)
    task = asyncio.create_task(following.follower.follow())
    await asyncio.sleep(0.05)
    assert [call[0] for call in following.backend.calls] == ["bring", "settle"]
    following.backend.go_on.set()
    await task
    assert following.router.releases.rollout.serving == 3
    await quiet()


async def test_the_end_of_following_ends_the_clearing_up(following: Following) -> None:
    following.write(serving=2)
    before = asyncio.all_tasks()
    with following.router.held():
        running = asyncio.create_task(following.follower.run(period_s=3600))
        async with asyncio.timeout(30):
            while following.router.releases.rollout.serving != 2:
                await asyncio.sleep(0.001)
        await quiet()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert asyncio.all_tasks() == before


async def test_a_surprise_while_looking_does_not_end_the_following(following: Following) -> None:
    rollout = following.repository / "rollout.yaml"
    rollout.write_bytes(b"serving: 1\nprevious: " + b"[" * 20_000)  # deeper than YAML's parser goes
    with capture_logs() as logs:
        for _ in range(2):
            await following.follower.follow()
    assert following.follower.state is RolloutState.REFUSED
    [line] = [line for line in logs if line["event"] == "rollout_refused"]
    assert isinstance(line["exc_info"], RecursionError)


async def test_releases_are_checked_beside_the_event_loop(following: Following) -> None:
    following.write(serving=2)
    await following.follower.follow()
    assert following.checked_in not in (None, threading.get_ident())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("serving: [", "is not YAML"),
        ("serving: 0", "serving: Input should be greater than or equal to 1"),
        ("serving: 9", "9/release.yaml: cannot be read"),
    ],
)
async def test_a_bad_file_is_refused_and_said_once(following: Following, text: str, reason: str) -> None:
    (following.repository / "rollout.yaml").write_text(text)
    with capture_logs() as logs:
        for _ in range(3):
            await following.follower.follow()
    assert following.follower.state is RolloutState.REFUSED
    assert following.backend.calls == []
    [line] = [line for line in logs if line["event"] == "rollout_refused"]
    assert reason in line["error"]
    assert line["in_force"] == "serving 1"

    following.write(serving=1)
    await following.follower.follow()
    assert following.follower.state is RolloutState.IN_FORCE


async def test_a_file_that_is_not_what_was_published_is_refused(following: Following) -> None:
    (following.repository / "wildlife_detector" / "2" / "model.onnx").write_text("another")
    following.write(serving=2)
    await following.follower.follow()
    assert following.follower.state is RolloutState.REFUSED
    assert following.backend.calls == []


async def test_releases_that_cannot_answer_here_are_refused_before_anything_is_loaded(following: Following) -> None:
    following.refusal = PolicyError("no rule for it")
    following.write(serving=2)
    await following.follower.follow()
    assert following.follower.state is RolloutState.REFUSED
    assert following.backend.calls == []
    assert set(following.router.labels) == {"m/1"}


@pytest.mark.parametrize("error", [NotLoaded("no memory"), RuntimeError("a surprise")])
async def test_what_does_not_load_is_refused_and_tried_again_in_a_while(following: Following, error: Exception) -> None:
    following.backend.bring_error = error
    following.write(serving=2)
    for _ in range(3):
        await following.follower.follow()
    assert [call[0] for call in following.backend.calls] == ["bring"]
    assert set(following.router.labels) == {"m/1"}
    for pause_s, tries in ((4.5, 2), (4.5, 2), (4.5, 3)):
        following.now += pause_s
        await following.follower.follow()
        assert len(following.backend.calls) == tries, "each pause is twice the one before"

    following.backend.bring_error = None
    following.follower.look_again()
    await following.follower.follow()
    assert following.follower.state is RolloutState.IN_FORCE
    assert following.router.releases.rollout.serving == 2


async def test_another_change_does_not_wait_for_a_refused_one(following: Following) -> None:
    following.backend.bring_error = NotLoaded("broken")
    following.write(serving=2)
    await following.follower.follow()
    following.backend.bring_error = None
    following.write(serving=3)
    await following.follower.follow()
    assert following.router.releases.rollout.serving == 3


async def test_a_version_that_is_still_to_be_loaded_is_waited_for_and_known(following: Following) -> None:
    following.backend.bring_error = NotReadyYet("no video_scorer of version 2")
    following.write(serving=2)
    with capture_logs() as logs:
        for _ in range(3):
            await following.follower.follow()
    assert following.follower.state is RolloutState.WAITING
    assert [line["event"] for line in logs] == ["rollout_waits"]
    assert len(following.backend.calls) == 3, "it is asked for at every look"
    assert following.router.release(2).model_version == "m/2", "it may answer before the gateway has seen it"
    following.backend.bring_error = None
    await following.follower.follow()
    assert following.router.releases.rollout.serving == 2


@pytest.mark.parametrize("error", [NotLoaded("busy"), RuntimeError("a surprise")])
async def test_clearing_up_is_tried_again(following: Following, error: Exception) -> None:
    following.backend.settle_error = error
    following.write(serving=2)
    await following.follower.follow()
    await quiet()
    following.backend.settle_error = None
    for _ in range(2):
        await following.follower.follow()
        await quiet()
    assert [call[0] for call in following.backend.calls] == ["bring", "settle", "settle"]
    assert following.follower.state is RolloutState.IN_FORCE


async def test_it_looks_at_once_when_told_to(following: Following) -> None:
    running = asyncio.create_task(following.follower.run(period_s=3600))
    await asyncio.sleep(0)
    following.write(serving=2)
    following.follower.look_again()
    async with asyncio.timeout(30):
        while following.router.releases.rollout.serving != 2:
            await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
