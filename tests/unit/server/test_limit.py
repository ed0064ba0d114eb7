"""How much may be under way: on machines whose work takes as long as a function of what is under way says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

import pytest

from wildgate_server.limit import GradientLimit

Took = Callable[[int], float]
"""Seconds that work takes when it begins as one of so many."""


def cores(under_way: int) -> float:
    """Two cores that share what there is."""
    return 0.1 * max(under_way, 2)


def batches(under_way: int) -> float:
    """A GPU on which eight take hardly longer than one, four batches at a time."""
    return 0.02 * max(1.0, under_way / 32) + 0.0001 * under_way


@dataclass
class Machine:
    """Works on as many as `limit` says, of which there are more than enough, for some virtual seconds."""

    took: Took
    now_s: float = 0.0
    done: int = 0
    under_way: list[tuple[float, float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.limit = GradientLimit(4, 64, lambda: self.now_s)

    def work(self, seconds: float, at_most: int = 1000) -> float:
        """Returns how many were done a second, when never more than `at_most` are wanted at a time."""
        ends_s, before = self.now_s + seconds, self.done
        while self.now_s < ends_s:
            while len(self.under_way) < min(self.limit.limit, at_most):
                at_once = len(self.under_way) + 1
                heappush(self.under_way, (self.now_s + self.took(at_once), self.now_s, at_once))
            self.now_s, began_s, at_once = heappop(self.under_way)
            self.done += 1
            self.limit.sample(self.now_s - began_s, at_once, full=at_most > self.limit.limit)
        return (self.done - before) / seconds


def test_more_than_the_cores_do_is_not_begun() -> None:
    machine = Machine(cores)
    rate = machine.work(30)
    assert 4 <= machine.limit.limit <= 12
    assert rate > 0.95 * 10


def test_batches_are_filled() -> None:
    machine = Machine(batches)
    machine.work(10)
    assert machine.limit.limit >= 24
    assert machine.work(30) > 0.9 * 64 / batches(64)


def test_it_falls_when_the_machine_gets_slower_and_comes_back() -> None:
    machine = Machine(batches)
    machine.work(10)
    machine.took = lambda under_way: 3 * cores(under_way)
    machine.work(60)
    assert machine.limit.limit <= 12
    machine.took = batches
    machine.work(10)
    assert machine.limit.limit >= 24


def test_what_little_takes_is_found_out_anew_while_much_is_wanted_all_the_time() -> None:
    machine = Machine(batches)
    machine.work(10)
    before_s = machine.limit.calm_s
    machine.took = lambda under_way: 2 * batches(under_way)
    machine.work(200)
    assert machine.limit.calm_s == pytest.approx(2 * before_s, rel=0.2)
    assert machine.limit.limit >= 24


def test_it_does_not_grow_while_nothing_waits() -> None:
    machine = Machine(batches)
    machine.work(30, at_most=3)
    assert machine.limit.limit == 4


def test_when_work_will_end() -> None:
    limit = GradientLimit(4, 64, lambda: 0.0)
    assert limit.ends_in_s(1000) == 0.0, "nothing is known yet"
    for _ in range(20):
        limit.sample(2.0, 1, full=False)
    assert limit.ends_in_s(3) == 0.0, "it begins at once: how long it takes shows"
    assert limit.ends_in_s(4) == pytest.approx(0.5 + 2.0)
    assert limit.ends_in_s(13) == pytest.approx(10 * 0.5 + 2.0)


def test_a_line_that_stands_is_kept_short_and_a_burst_is_not() -> None:
    now_s = [0.0]
    limit = GradientLimit(4, 64, lambda: now_s[0])
    assert limit.patience_s(4.0) == 4.0
    for at_s in range(1000, 1012):
        now_s[0] = float(at_s)
        limit.sample(0.3, 4, full=True)
        assert limit.patience_s(4.0) == (4.0 if at_s < 1010 else 2.0)
    assert limit.patience_s(60.0) == 15.0
    limit.sample(0.3, 4, full=False)
    assert limit.patience_s(4.0) == 4.0
