"""The search for operators to leave in fp32: what it tries, in which order, and when it stops."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from wildgate_build.precision.exclusions import Attempt, SearchLimits, search_exclusions

OPERATORS = ("a", "b", "c", "u", "v", "w", "x", "y", "z")
PLENTY = 1e9


class Network:
    """Loses `harm` for each operator that is not left out; each look at the clock takes a second."""

    def __init__(self, **harm: float) -> None:
        self.harm = harm
        self.tried: list[tuple[str, ...]] = []
        self.now = 0.0

    def loss(self, excluded: Sequence[str]) -> float:
        self.tried.append(tuple(excluded))
        return self.error(excluded)

    def error(self, excluded: Sequence[str]) -> float:
        return sum(harm for name, harm in self.harm.items() if name not in excluded)

    def clock(self) -> float:
        self.now += 1
        return self.now

    def search(self, max_loss: float, seconds: float = PLENTY, start: tuple[str, ...] = ()) -> Attempt:
        first = Attempt(start, self.error(start))
        return search_exclusions(first, OPERATORS, self.loss, self.error, SearchLimits(max_loss, seconds), self.clock)


def test_nothing_is_tried_within_the_loss() -> None:
    network = Network(a=0.005)
    assert network.search(0.01) == Attempt((), 0.005)
    assert network.tried == []


def test_the_first_operator_comes_first() -> None:
    network = Network(a=0.5, z=0.005)
    assert network.search(0.01) == Attempt(("a",), 0.005)
    assert network.tried == [("a",)]


def test_then_those_that_bring_the_outputs_nearest() -> None:
    network = Network(a=0.02, b=0.5, c=0.3, z=0.01)
    assert network.search(0.05).excluded == ("b", "c")
    assert network.tried == [("a",), ("b",), ("b", "c")]


def test_half_of_the_operators_stay() -> None:
    network = Network(**dict.fromkeys(OPERATORS, 0.1))
    best = network.search(0.01)
    assert (best.excluded, best.loss) == (("a", "b", "c", "u"), pytest.approx(0.5))
    assert [len(names) for names in network.tried] == [1, 1, 2, 4]


def test_what_is_left_out_from_the_start_counts() -> None:
    network = Network(**dict.fromkeys(OPERATORS, 0.1))
    network.search(0.01, start=("y", "z"))
    assert [len(names) - 2 for names in network.tried] == [1, 1, 2]
    network.tried.clear()
    assert network.search(0.01, start=OPERATORS[:4]).excluded == OPERATORS[:4]
    assert network.tried == []


def test_what_was_left_out_from_the_start_stays_out() -> None:
    network = Network(a=0.001, b=0.5, z=0.5)
    assert network.search(0.01, start=("b",)).excluded == ("b", "z")
    assert network.tried == [("b", "a"), ("b", "z")]


def test_the_best_is_returned_when_none_is_good_enough() -> None:
    network = Network(a=0.1, d=0.4)
    assert network.search(0.01) == Attempt(("a",), 0.4)
    assert len(network.tried[-1]) == 4


def test_it_stops_when_time_is_up() -> None:
    network = Network(a=0.1, b=0.4)
    assert network.search(0.01, seconds=1.5) == Attempt(("a",), 0.4)
    assert network.tried == [("a",)]


def test_no_time_means_no_search() -> None:
    network = Network(a=0.5)
    assert network.search(0.01, seconds=0) == Attempt((), 0.5)
    assert network.tried == []
