"""Interleaved rounds and their medians, by a clock that the runs move."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wildgate_build.precision.speed import measure_speed


def test_medians_and_their_ratio_of_interleaved_rounds() -> None:
    now = 0.0
    order: list[str] = []

    def taking(name: str, seconds: list[float]) -> Callable[[], None]:
        def run() -> None:
            nonlocal now
            order.append(name)
            now += seconds.pop(0)

        return run

    runs = {"old": taking("old", [9, 0.2, 0.9, 0.3]), "new": taking("new", [9, 0.1, 0.1, 5])}
    speed = measure_speed(runs, 3, lambda: now)
    assert speed.median_ms == pytest.approx({"old": 300, "new": 100})
    assert speed.ratio("old", "new") == pytest.approx(3)
    assert order == ["old", "new"] * 4
