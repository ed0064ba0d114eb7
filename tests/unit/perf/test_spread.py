"""Medians and ratios of rounds."""

from __future__ import annotations

import pytest

from wildgate_perf.spread import Spread


def test_ratios_are_taken_round_by_round() -> None:
    ratio = Spread.ratios([10, 30, 20], [10, 10, 40])
    assert ratio.rounds == (1, 3, 0.5)
    assert ratio.median == 1
    assert ratio.as_json() == {"median": 1, "p10_p90": [0.5, 3], "rounds": [1, 3, 0.5]}


def test_the_median_of_an_even_number_lies_between() -> None:
    assert Spread.of([4, 1, 3, 2]).median == 2.5


@pytest.mark.parametrize("rounds", [[], [1, float("nan")]])
def test_nothing_measured_is_no_figure(rounds: list[float]) -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        Spread.of(rounds)
