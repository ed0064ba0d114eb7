"""Work that several callers want at once: who leads, who follows, and what happens when one of them leaves."""

from __future__ import annotations

import asyncio
import gc
from functools import partial

import pytest
from event_loop import settled

from wildgate_server.caching.single_flight import SingleFlight


class TooLate(Exception):
    """An error that concerns the caller that began alone."""


class Work:
    """Counts how often it was begun, and waits until it is told how to end."""

    def __init__(self) -> None:
        self.deadlines: list[float] = []
        self.ended: list[str] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, deadline: float) -> str:
        self.deadlines.append(deadline)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        if self.error:
            raise self.error
        self.ended.append("done")
        return f"result {len(self.deadlines)}"


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def flights() -> SingleFlight[str]:
    return SingleFlight(personal=(TooLate,))


async def test_equal_work_is_done_once_and_tells_who_led(flights: SingleFlight[str], work: Work) -> None:
    callers = [asyncio.create_task(flights.run("a", work, at)) for at in (1.0, 2.0, 3.0)]
    await settled()
    assert len(flights) == 1
    work.go.set()
    assert await asyncio.gather(*callers) == [("result 1", False), ("result 1", True), ("result 1", True)]
    assert work.deadlines == [1.0], "the first caller's"
    assert len(flights) == 0


async def test_other_work_and_later_work_is_its_own(flights: SingleFlight[str], work: Work) -> None:
    work.go.set()
    assert await asyncio.gather(*(flights.run(key, work, 1.0) for key in "ab")) == [
        ("result 1", False),
        ("result 2", False),
    ]
    assert await flights.run("a", work, 1.0) == ("result 3", False)


async def test_a_leader_that_leaves_does_not_end_it_for_the_others(flights: SingleFlight[str], work: Work) -> None:
    leader, follower = (asyncio.create_task(flights.run("a", work, 1.0)) for _ in range(2))
    await settled()
    leader.cancel()
    await settled()
    assert leader.cancelled()
    work.go.set()
    assert await follower == ("result 1", True)
    assert len(work.deadlines) == 1


async def test_the_last_one_that_leaves_ends_it(flights: SingleFlight[str], work: Work) -> None:
    callers = [asyncio.create_task(flights.run("a", work, 1.0)) for _ in range(3)]
    await settled()
    for caller in callers:
        assert work.ended == []
        caller.cancel()
        await settled()
    assert work.ended == ["cancelled"]
    assert len(flights) == 0


async def test_nobody_boards_what_is_being_cancelled(flights: SingleFlight[str], work: Work) -> None:
    leaving = asyncio.create_task(flights.run("a", work, 1.0))
    await settled()
    leaving.cancel()
    coming = asyncio.create_task(flights.run("a", work, 2.0))
    await settled()
    work.go.set()
    result, _ = await coming
    assert result == f"result {len(work.deadlines)}"
    assert leaving.cancelled()


async def test_an_error_about_the_work_is_everybody_s(flights: SingleFlight[str], work: Work) -> None:
    callers = [asyncio.create_task(flights.run("a", work, 1.0)) for _ in range(3)]
    await settled()
    work.error = ValueError("corrupt")
    work.go.set()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert [repr(outcome) for outcome in outcomes] == ["ValueError('corrupt')"] * 3
    assert len(work.deadlines) == 1
    assert len(flights) == 0, "errors are not kept"


async def test_after_a_personal_error_one_of_those_who_waited_leads(flights: SingleFlight[str], work: Work) -> None:
    leader, *followers = (asyncio.create_task(flights.run("a", work, float(at))) for at in (1, 20, 30))
    await settled()
    work.error = TooLate()
    work.go.set()
    with pytest.raises(TooLate):
        await leader
    work.go.clear()
    work.error = None
    await settled()
    work.go.set()
    assert await asyncio.gather(*followers) == [("result 2", False), ("result 2", True)]
    assert work.deadlines == [1.0, 20.0], "the second time it ran within a follower's own deadline"


async def test_work_that_always_fails_personally_ends_with_everybody_told(flights: SingleFlight[str]) -> None:
    async def late(deadline: float) -> str:
        raise TooLate

    outcomes = await asyncio.gather(*(flights.run("a", late, 1.0) for _ in range(4)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [TooLate] * 4


async def test_who_follows_holds_the_leader_s_copy_and_can_still_lead(flights: SingleFlight[str]) -> None:
    gone: list[str] = []

    class Video(bytes):
        owner = ""

        def __del__(self) -> None:
            gone.append(self.owner)

    go = asyncio.Event()
    seen: list[str] = []

    async def scored(video: Video, deadline: float) -> str:
        seen.append(video.owner)
        await go.wait()
        if len(seen) == 1:
            raise TooLate
        return "scored"

    def caller(owner: str) -> asyncio.Task[tuple[str, bool]]:
        video = Video(b"the same")
        video.owner = owner
        return asyncio.create_task(flights.run("a", partial(scored, video), 1.0))

    leader, follower = caller("leader"), caller("follower")
    await settled()
    assert gone == ["follower"], "held once"
    go.set()
    with pytest.raises(TooLate):
        await leader
    assert await follower == ("scored", False)
    assert seen == ["leader", "leader"]
    del leader
    gc.collect()
    assert sorted(gone) == ["follower", "leader"]


async def test_closing_ends_all_work_and_waits_for_it(flights: SingleFlight[str], work: Work) -> None:
    callers = [asyncio.create_task(flights.run(key, work, 1.0)) for key in "aab"]
    await settled()
    await flights.close()
    assert work.ended == ["cancelled", "cancelled"]
    assert all(
        isinstance(each, asyncio.CancelledError) for each in await asyncio.gather(*callers, return_exceptions=True)
    )


async def test_closing_waits_for_work_that_everybody_left(flights: SingleFlight[str]) -> None:
    ended: list[str] = []

    async def slow_to_end(deadline: float) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(10):
                await asyncio.sleep(0)
            ended.append("at last")
        return ""

    caller = asyncio.create_task(flights.run("a", slow_to_end, 1.0))
    await settled()
    caller.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await flights.close()
    assert ended == ["at last"]
