"""The gateway follows the file: good changes in order, bad ones not at all."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from event_loop import Clock, settled
from releases_under_test import manifest, releases, write_repository
from structlog.testing import capture_logs

from wildgate_server.inference.batcher import BatchSettings
from wildgate_server.inference.release_router import ReleaseRouter
from wildgate_server.policy import PolicyError
from wildgate_server.repository.releases import Releases, Rollout
from wildgate_server.rollout.backend import NotReadyYet
from wildgate_server.rollout.model_rollout import NotLoaded
from wildgate_server.rollout.rollout_follower import RolloutFollower, RolloutState


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
        self.clock = Clock(100.0)
        self.follower = RolloutFollower(
            self.repository, manifest(), self.router, self.backend, self._check, clock=self.clock
        )

    async def look(self, times: int = 1, **rollout: Any) -> None:
        """Follows the file, which says `rollout` from now on if one is given, until nothing goes on by itself."""
        if rollout:
            self.write(**rollout)
        for _ in range(times):
            await self.follower.follow()
            await settled()

    def write(self, **rollout: Any) -> None:
        (self.repository / "rollout.yaml").write_text(yaml.safe_dump(rollout))

    @property
    def serving(self) -> int:
        return self.router.releases.rollout.serving

    @property
    def calls(self) -> list[str]:
        return [call[0] for call in self.backend.calls]

    def assert_refused(self) -> None:
        """Nothing was loaded for it, and nothing else is expected to answer."""
        assert (self.follower.state, self.calls) == (RolloutState.REFUSED, [])
        assert set(self.router.labels) == {"m/1"}

    async def until_serving(self, version: int) -> None:
        async with asyncio.timeout(30):
            while self.serving != version:
                await asyncio.sleep(0.001)

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
    await following.look()
    assert (following.calls, following.follower.state) == ([], RolloutState.IN_FORCE)


async def test_a_change_is_loaded_switched_to_and_cleared_up_after(following: Following) -> None:
    await following.look(serving=2, previous=1, canary={"version": 3, "share": 0.5})
    assert following.backend.calls == [("bring", (2, 3), 1), ("settle", (2, 3), 2)]
    expected = releases(2, canary=3)
    assert following.router.releases.rollout == expected.rollout.model_copy(update={"previous": 1})
    assert following.router.releases.by_version == expected.by_version
    assert following.checked_in not in (None, threading.get_ident()), "checked beside the event loop"
    await following.look()
    assert len(following.calls) == 2


async def test_what_is_old_is_cleared_up_after_its_last_video(following: Following) -> None:
    with following.router.held():
        await following.look(serving=2)
        assert (following.serving, following.calls) == (2, ["bring"])
    await settled()
    assert following.calls == ["bring", "settle"]


async def test_a_rollback_does_not_wait_for_old_videos(following: Following) -> None:
    with following.router.held():
        await following.look(serving=2)
        async with asyncio.timeout(30):
            await following.look(serving=1)
        assert following.serving == 1
        assert [call[:2] for call in following.backend.calls] == [("bring", (2,)), ("bring", (1,))]
    await settled()
    assert following.backend.calls[2:] == [("settle", (1,), 1)], "what was superseded is not settled any more"


async def test_after_a_change_that_is_refused_clearing_up_goes_on(following: Following) -> None:
    with following.router.held():
        await following.look(serving=2)
        following.backend.bring_error = NotLoaded("broken")
        await following.look(serving=3)
    await settled()
    assert following.backend.calls[2:] == [("settle", (2,), 2)]


async def test_what_is_being_unloaded_is_done_before_anything_is_loaded(following: Following) -> None:
    following.backend.go_on.clear()
    await following.look(serving=2)
    task = asyncio.create_task(following.look(serving=3))
    await asyncio.sleep(0.05)
    assert following.calls == ["bring", "settle"]
    following.backend.go_on.set()
    await task
    assert following.serving == 3


async def test_the_end_of_following_ends_the_clearing_up(following: Following) -> None:
    following.write(serving=2)
    before = asyncio.all_tasks()
    with following.router.held():
        running = asyncio.create_task(following.follower.run(period_s=3600))
        await following.until_serving(2)
        await settled()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert asyncio.all_tasks() == before


async def test_it_looks_at_once_when_told_to(following: Following) -> None:
    running = asyncio.create_task(following.follower.run(period_s=3600))
    await asyncio.sleep(0)
    following.write(serving=2)
    following.follower.look_again()
    await following.until_serving(2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    ("text", "reason", "surprise"),
    [
        ("serving: [", "is not YAML", None),
        ("serving: 0", "serving: Input should be greater than or equal to 1", None),
        ("serving: 9", "9/release.yaml: cannot be read", None),
        ("serving: 1\nprevious: " + "[" * 20_000, "recursion", RecursionError),  # deeper than YAML's parser goes
    ],
    ids=["no YAML", "no version", "no release", "surprise"],
)
async def test_a_bad_file_is_refused_and_said_once(
    following: Following, text: str, reason: str, surprise: type[Exception] | None
) -> None:
    (following.repository / "rollout.yaml").write_text(text)
    with capture_logs() as logs:
        await following.look(3)
    following.assert_refused()
    [line] = [line for line in logs if line["event"] == "rollout_refused"]
    assert reason in line["error"]
    assert line["in_force"] == "version 1 serves"
    assert type(line["exc_info"]) is (surprise or type(None))
    await following.look(serving=1)
    assert following.follower.state is RolloutState.IN_FORCE


async def test_a_file_that_is_not_what_was_published_is_refused(following: Following) -> None:
    (following.repository / "wildlife_detector" / "2" / "model.onnx").write_text("another")
    await following.look(serving=2)
    following.assert_refused()


async def test_releases_that_cannot_answer_here_are_refused_before_anything_is_loaded(following: Following) -> None:
    following.refusal = PolicyError("no rule for it")
    await following.look(serving=2)
    following.assert_refused()


@pytest.mark.parametrize("error", [NotLoaded("no memory"), RuntimeError("a surprise")])
async def test_what_does_not_load_is_refused_and_tried_again_in_a_while(following: Following, error: Exception) -> None:
    following.backend.bring_error = error
    await following.look(3, serving=2)
    assert following.calls == ["bring"]
    assert set(following.router.labels) == {"m/1"}
    for pause_s, tries in ((4.5, 2), (4.5, 2), (4.5, 3)):
        following.clock.now += pause_s
        await following.look()
        assert len(following.calls) == tries, "each pause is twice the one before"

    following.backend.bring_error = None
    following.follower.look_again()
    await following.look()
    assert (following.follower.state, following.serving) == (RolloutState.IN_FORCE, 2)


async def test_another_change_does_not_wait_for_a_refused_one(following: Following) -> None:
    following.backend.bring_error = NotLoaded("broken")
    await following.look(serving=2)
    following.backend.bring_error = None
    await following.look(serving=3)
    assert following.serving == 3


async def test_a_version_that_is_still_to_be_loaded_is_waited_for_and_known(following: Following) -> None:
    following.backend.bring_error = NotReadyYet("no video_scorer of version 2")
    with capture_logs() as logs:
        await following.look(3, serving=2)
    assert following.follower.state is RolloutState.WAITING
    assert [line["event"] for line in logs] == ["rollout_waits"]
    assert len(following.calls) == 3, "it is asked for at every look"
    assert following.router.release(2).model_version == "m/2", "it may answer before the gateway has seen it"
    following.backend.bring_error = None
    await following.look()
    assert following.serving == 2


@pytest.mark.parametrize("error", [NotLoaded("busy"), RuntimeError("a surprise")])
async def test_clearing_up_is_tried_again(following: Following, error: Exception) -> None:
    following.backend.settle_error = error
    await following.look(serving=2)
    following.backend.settle_error = None
    await following.look(2)
    assert following.calls == ["bring", "settle", "settle"]
    assert following.follower.state is RolloutState.IN_FORCE
