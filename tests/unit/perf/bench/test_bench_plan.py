"""Time budgets of the benchmark's phases."""

from __future__ import annotations

from wildgate_perf.bench.plan import FULL, Budget


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def numbers(budget_s: float, round_s: float, wanted: int, at_least: int = 2) -> list[int]:
    clock, found = Clock(), []
    for number in Budget(budget_s, clock).rounds(wanted, at_least):
        found.append(number)
        clock.seconds += round_s
    return found


def test_all_rounds_that_fit_are_run() -> None:
    assert numbers(50, 10, 5) == [0, 1, 2, 3, 4]
    assert numbers(49, 10, 5) == [0, 1, 2, 3]


def test_some_rounds_are_run_whatever_they_take() -> None:
    assert numbers(1, 10, 5) == [0, 1]
    assert numbers(1, 10, 5, at_least=1) == [0]
    assert numbers(1, 10, 1) == [0]


def test_the_whole_run_has_room_in_ten_minutes() -> None:
    budgets_s = 2 * FULL.offline_budget_s + FULL.direct_budget_s + FULL.load_budget_s
    # The rest: composing, cached verdicts, containers, a full decode, and starting and stopping six servers.
    assert budgets_s <= 600 - 120


def test_the_planned_rounds_fit_their_budgets() -> None:
    assert FULL.offline_rounds * 2 * (FULL.offline_round_s + FULL.warm_up_s) <= FULL.offline_budget_s
    round_s = 2 * (2 * (FULL.direct_round_s + FULL.warm_up_s / 2) + FULL.added_s)
    assert FULL.direct_rounds * round_s <= FULL.direct_budget_s
