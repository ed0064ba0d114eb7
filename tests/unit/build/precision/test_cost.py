"""Interleaved rounds and their medians, by a clock that the runs move."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wildgate_build.precision.cost import median_times


def test_medians_of_interleaved_rounds() -> None:
    now = 0.0
    order: list[str] = []

    def taking(name: str, seconds: list[float]) -> Callable[[], None]:
        def run() -> None:
            nonlocal now
            order.append(name)
            now += seconds.pop(0)

        return run

    runs = {"old": taking("old", [9, 0.2, 0.9, 0.3]), "new": taking("new", [9, 0.1, 0.1, 5])}
    assert median_times(runs, 3, lambda: now) == pytest.approx({"old": 300, "new": 100})
    assert order == ["old", "new"] * 4
