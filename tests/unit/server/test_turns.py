"""Turns: the order, the limit, leaving, and standing aside."""

from __future__ import annotations

import asyncio
from math import inf

import pytest
from event_loop import settled

from wildgate_server.errors import DeadlineExceeded
from wildgate_server.limit import GradientLimit
from wildgate_server.turns import Standing, Turn, Turns

UPLOADS, BACKFILL = Standing("uploads", 1.0), Standing("backfill", 0.5)


class Work:
    """Videos that take turns and end when they are told to; `begun` has their names in the order of their turns."""

    def __init__(self, at_once: int = 1) -> None:
        self.now_s = 0.0
        self.limit = GradientLimit(at_once, at_once, lambda: self.now_s)
        self.turns = Turns(self.limit, lambda: self.now_s)
        self.begun: list[str] = []
        self.turn: dict[str, Turn] = {}
        self._ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, standing: Standing = UPLOADS, deadline: float = inf, *, costs: float = 1.0) -> None:
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._work(name, standing, deadline, costs))
        await settled()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await settled()

    async def _work(self, name: str, standing: Standing, deadline: float, costs: float) -> None:
        async with self.turns.turn(standing, deadline, work=costs) as turn:
            self.begun.append(name)
            self.turn[name] = turn
            await self._ends[name].wait()


async def test_the_higher_class_first_then_who_has_least_then_who_came_first() -> None:
    work = Work(at_once=2)
    other = Standing("other", 1.0)
    for name, standing in {
        "first": UPLOADS,
        "second": UPLOADS,
        "backfill": BACKFILL,
        "third": UPLOADS,
        "fourth": UPLOADS,
        "other": other,
    }.items():
        await work.come(name, standing)
    assert work.begun == ["first", "second"]
    for name in ("first", "other", "second", "third", "fourth"):
        await work.end(name)
    assert work.begun == ["first", "second", "other", "third", "fourth", "backfill"]
    await work.end("backfill")
    assert (work.turns.under_way, work.turns.waiting) == (0, 0)


async def test_lines_of_videos_that_cost_alike_share_the_time_and_a_class_comes_before_all_of_a_lower_one() -> None:
    """A video of four times the usual cost, of the third line, has sixteen usual ones before the next of its line."""
    work = Work()
    await work.come("now")
    for number in range(2):
        await work.come(f"long {number}", Standing(f"caller {number}"), costs=4.0)
    await work.come("backfill", BACKFILL, costs=0.1)
    for number in range(40):
        await work.come(f"short {number}")
    while work.turns.waiting:
        await work.end(work.begun[-1])
    long = [place for place, name in enumerate(work.begun) if name.startswith("long")]
    assert long == [1, 17], "the first one at once, for its line has had nothing"
    assert work.begun[-1] == "backfill"
    await work.end("backfill")


async def test_a_line_that_comes_anew_has_missed_nothing() -> None:
    work = Work()
    await work.come("short")
    for number in range(8):
        await work.come(f"short {number}")
        await work.end(work.begun[-1])
    for name, costs in {"long": 4.0, "next": 1.0, "longer": 4.0}.items():
        await work.come(name, costs=costs)
    for _ in range(3):
        await work.end(work.begun[-1])
    assert work.begun[-3:] == ["long", "next", "longer"]
    await work.end("longer")


async def test_what_is_to_be_done_after_standing_aside_counts() -> None:
    """It makes a long video of a usual one, whose line has had more."""
    work = Work()
    for name, costs in {"long": 2.0, "usual": 1.5}.items():
        await work.come(name, costs=costs)
    await work.end("long")
    async with work.turn["usual"].aside():
        work.turn["usual"].work += 1.0
        await work.come("first")
        await work.come("second")
        ends = asyncio.create_task(work.end("first"))
        ends.add_done_callback(lambda _: work._ends["second"].set())
    assert work.tasks["second"].done()
    await work.end("usual")


@pytest.mark.parametrize("is_called", [False, True])
async def test_who_leaves_while_waiting_is_passed_over(is_called: bool) -> None:
    """Also where it was its turn already, and it has not run since."""
    work = Work()
    for name in ("first", "second", "third"):
        await work.come(name)
    if is_called:
        work.tasks["first"].cancel()
        await asyncio.sleep(0)
    work.tasks["second"].cancel()
    work.tasks["first"].cancel()
    await settled()
    assert work.begun == ["first", "third"]
    await work.end("third")
    assert work.turns.under_way == 0


async def test_a_turn_stands_aside_and_goes_on_before_those_that_have_not_begun() -> None:
    work = Work()
    for name in ("first", "second", "third"):
        await work.come(name)
    async with work.turn["first"].aside():
        await settled()
        assert work.begun == ["first", "second"]
        work.now_s += 5.0
        asyncio.get_running_loop().call_soon(work._ends["second"].set)
    assert work.begun == ["first", "second"]
    await work.end("first")
    assert work.limit.usual_s < 5.0, "the first one took no time: it stood aside"
    await work.end("third")
    assert work.turns.under_way == 0


async def test_what_fails_aside_holds_no_turn_and_gives_none_back_twice() -> None:
    work = Work()

    async def fail() -> None:
        async with work.turns.turn(UPLOADS, inf) as turn, turn.aside():
            assert work.turns.under_way == 0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert work.turns.under_way == 0


async def test_what_needs_no_turn_waits_for_none_and_holds_up_nobody() -> None:
    work = Work()
    await work.come("first")
    async with work.turns.turn(BACKFILL, inf, needed=False) as turn, turn.aside():
        assert (work.turns.under_way, work.turns.waiting, work.limit.apart) == (1, 0, 1)
    await work.end("first")
    assert (work.turns.under_way, work.limit.apart) == (0, 0)


async def test_what_cannot_be_done_in_time_is_not_begun() -> None:
    work = Work()
    await work.come("slow")
    work.now_s = 10.0
    await work.end("slow")
    await work.come("late", deadline=14.0)
    with pytest.raises(DeadlineExceeded):
        await work.tasks["late"]
    await work.come("in time", deadline=30.0)
    assert work.begun == ["slow", "in time"]
    await work.end("in time")
