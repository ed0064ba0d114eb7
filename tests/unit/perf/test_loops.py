"""Loops that make load, with a clock that only asking and sleeping move."""

from __future__ import annotations

import asyncio
import math
from itertools import pairwise

import pytest

from wildgate_perf.loops import (
    LoadPlan,
    Measured,
    Outcome,
    Stages,
    Unanswered,
    closed_loop,
    open_loop,
    percentile,
    timetable,
    together,
)


@pytest.mark.parametrize(
    ("values", "share", "wanted"),
    [
        ([3, 1, 2], 0.5, 2),
        ([1, 2, 3, 4], 0.5, 2),
        ([1, 2, 3, 4], 0.51, 3),
        (list(range(1, 101)), 0.99, 99),
        ([7], 0, 7),
    ],
)
def test_percentiles_are_nearest_ranks(values: list[float], share: float, wanted: float) -> None:
    assert percentile(values, share) == wanted


def test_no_values_have_no_percentile() -> None:
    assert math.isnan(percentile([], 0.5))


class Clock:
    """Time that passes only while somebody is asked."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def test_answers_count_between_warm_up_and_end() -> None:
    clock = Clock()
    asked = []

    async def ask(number: int) -> Stages:
        asked.append(number)
        clock.seconds += 1
        return {"infer": float(number)}

    measured = await closed_loop(ask, LoadPlan(clients=1, warm_up_s=2, seconds=3), now=clock)
    assert asked == [0, 1, 2, 3, 4]
    assert [answer.stages_ms["infer"] for answer in measured.answers] == [1, 2, 3, 4]  # the one at the brink counts
    assert {answer.took_ms for answer in measured.answers} == {1000}
    assert measured.stages_ms(0.5) == {"infer": 2}
    assert measured.answered == 5  # those of the warm-up, too


async def test_failures_are_kept_and_are_no_answers() -> None:
    clock = Clock()

    async def ask(number: int) -> Stages:
        clock.seconds += 1
        if number % 2:
            raise ConnectionError("gone")
        return {}

    measured = await closed_loop(ask, LoadPlan(1, 0, 10), now=clock)
    assert [each.failure for each in measured.counted if each.failure] == ["ConnectionError: gone"] * 5
    assert measured.failures == {"ConnectionError": 5}
    assert (measured.per_s, measured.answered) == (0.5, 5)


async def test_all_clients_are_in_flight_at_once() -> None:
    clock = Clock()
    under_way: list[int] = []
    most: list[int] = []

    async def ask(number: int) -> Stages:
        under_way.append(number)
        most.append(len(under_way))
        await asyncio.sleep(0)
        under_way.remove(number)
        clock.seconds += 1
        return {}

    await closed_loop(ask, LoadPlan(3, 0, 30), now=clock)
    assert max(most) == 3


async def test_an_answer_across_an_edge_counts_by_its_part_within() -> None:
    clock = Clock()

    async def ask(number: int) -> Stages:
        clock.seconds += 4
        return {}

    measured = await closed_loop(ask, LoadPlan(clients=1, warm_up_s=2, seconds=8), now=clock)
    # 0-4, 4-8, 8-12 of which 2-4, 4-8, 8-10 count: half, one, half.
    assert measured.per_s == pytest.approx(2 / 8)
    both = together([measured, measured])
    assert (both.per_s, both.answered) == (pytest.approx(4 / 8), 6)


async def test_each_request_may_be_sent_once() -> None:
    asked: list[int] = []

    async def ask(number: int) -> Stages:
        asked.append(number)
        await asyncio.sleep(0)
        if number == 3:
            raise Unanswered("GONE: away")
        return {}

    measured = await closed_loop(ask, LoadPlan(3, 0, 1000, requests=7), now=Clock())
    assert sorted(asked) == list(range(7))
    assert (len(measured.answers), measured.failures) == (6, {"GONE": 1})


def test_uniform_arrivals_have_equal_pauses() -> None:
    assert timetable(4, 1.5) == [0, 0.25, 0.5, 0.75, 1.0, 1.25]


def test_poisson_arrivals_have_the_rate_asked_for_and_no_memory() -> None:
    due = timetable(100, 100, "poisson")
    pauses = [after - before for before, after in pairwise(due)]
    assert due == timetable(100, 100, "poisson")
    assert due != timetable(100, 100, "poisson", seed=1)
    assert due == sorted(due)
    assert due[-1] < 100
    mean = sum(pauses) / len(pauses)
    assert mean == pytest.approx(0.01, rel=0.05)
    # Of an exponential distribution, a share of 1 / e is longer than the mean.
    assert sum(pause > mean for pause in pauses) / len(pauses) == pytest.approx(1 / math.e, abs=0.02)


class SleepingClock(Clock):
    """Time that sleeping moves, too; all that is due meanwhile gets its turn."""

    async def sleep(self, seconds: float) -> None:
        wakes = self.seconds + seconds
        for _ in range(3):
            await asyncio.sleep(0)
        self.seconds = max(self.seconds, wakes)


async def test_latency_counts_from_when_a_request_was_due() -> None:
    clock = SleepingClock()

    async def ask(number: int) -> Stages:
        if number == 0:
            clock.seconds += 3  # blocks the generator itself: what comes after is sent late
        return {}

    offered = await open_loop(ask, 1, 4, now=clock, sleep=clock.sleep)
    assert [outcome.due_s for outcome in offered.outcomes] == [0, 1, 2, 3]
    assert [outcome.took_ms for outcome in offered.outcomes] == [3000, 2000, 1000, 0]
    assert offered.late_ms(1.0) == 2000
    assert offered.took_ms(0.5) == 1000


async def test_an_open_loop_waits_for_no_answer() -> None:
    clock = SleepingClock()
    under_way: set[int] = set()
    most = 0
    go_on = asyncio.Event()

    async def ask(number: int) -> Stages:
        nonlocal most
        under_way.add(number)
        most = max(most, len(under_way))
        if number == 4:
            go_on.set()
        await go_on.wait()
        under_way.discard(number)
        return {}

    offered = await open_loop(ask, 10, 0.5, now=clock, sleep=clock.sleep)
    assert most == 5
    assert len(offered.outcomes) == 5


async def test_failures_of_an_open_loop_are_called_by_their_kind() -> None:
    clock = SleepingClock()

    async def ask(number: int) -> Stages:
        if number % 2:
            raise Unanswered("busy: try later")
        return {}

    offered = await open_loop(ask, 1, 6, warm_up_s=2, now=clock, sleep=clock.sleep)
    assert len(offered.outcomes) == 8
    assert offered.failures == {"busy": 3}
    assert offered.good_per_s() == 3 / 6


def test_what_failed_took_for_ever() -> None:
    answered = [Outcome(number, number, number + 0.1) for number in range(99)]
    refused = [Outcome(99 + number, 99, 99.001, "RESOURCE_EXHAUSTED") for number in range(2)]
    one_percent, more = (Measured((), (*answered, *some), 0.0, 100.0) for some in (refused[:1], refused))
    assert one_percent.took_or_failed_ms(0.99) == pytest.approx(100)
    assert more.took_ms(0.99) == pytest.approx(100)
    assert more.took_or_failed_ms(0.99) == math.inf
    assert more.took_or_failed_ms(0.5) == pytest.approx(100)


def test_goodput_is_what_came_in_time_while_it_counted() -> None:
    outcomes = (
        Outcome(1.5, 1.5, 2.5),  # due before the end of the warm-up, answered after: one more of what flows
        Outcome(2.0, 2.0, 6.5),  # too late for a deadline of 4 s
        Outcome(3.0, 3.0, 4.0),
        Outcome(4.0, 4.0, 4.1, "RESOURCE_EXHAUSTED"),
        Outcome(6.5, 6.5, 7.5),  # answered after the end
    )
    offered = Measured(outcomes, outcomes[1:], 2.0, 5.0)
    assert offered.good_per_s(4000) == 2 / 5
    assert offered.good_per_s() == 3 / 5
    assert offered.took_ms(1.0) == 4500
    assert offered.failures == {"RESOURCE_EXHAUSTED": 1}
