"""What is read off a server's refusals."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from wildgate_perf.chaos.overload import LOADS, Row, _p99_s, report


@pytest.mark.parametrize(
    ("buckets", "p99_s"),
    [
        pytest.param({}, None, id="nothing was refused"),
        pytest.param({0.001: 100, 0.01: 100, float("inf"): 100}, 0.00099, id="all soon"),
        pytest.param({0.001: 98, 0.011: 100, float("inf"): 100}, 0.006, id="within a bucket"),
        pytest.param({0.001: 90, 10.0: 90, float("inf"): 100}, 10.0, id="past all buckets"),
    ],
)
def test_p99_of_refusals(buckets: dict[float, int], p99_s: float | None) -> None:
    assert _p99_s(Counter(buckets)) == (None if p99_s is None else pytest.approx(p99_s))


def test_what_is_missed() -> None:
    good = Row(LOADS[0], 30.0, 9.8, 10.0, {"refused": 20}, 400.0, 0.002, 900, 800)
    assert good.misses == []
    bad = Row(LOADS[0], 30.0, 9.0, 10.0, {"refused": 20, "other": 1}, 400.0, 0.02, 900, 800)
    assert bad.misses == ["goodput", "refusals", "lost"]


@pytest.mark.parametrize("tail", [None, 4.5])
def test_the_tail_is_told_where_it_was_measured(tail: float | None, tmp_path: Path) -> None:
    report([Row(LOADS[1], 30.0, 0.0, 0.0, {"late": 20}, 400.0, None, 900, 800)], tail, tmp_path / "table.md")
    assert ("4.5 times" in (tmp_path / "table.md").read_text()) == (tail is not None)
