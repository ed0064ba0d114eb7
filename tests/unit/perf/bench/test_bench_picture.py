"""The picture of latency and goodput over offered load."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib

from wildgate_perf.bench.picture import draw_load

POINTS = [{"offered_per_s": 5, "good_per_s": 5, "p50_ms": 100.0, "p99_ms": None}]
DETAILS: dict[str, Any] = {
    "latency_over_load": {"points": POINTS, "peaks_per_s": {"median": 10}, "deadline_s": 10.0},
}


def test_the_same_figures_give_the_same_svg_with_its_words(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    drawn = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        assert draw_load(DETAILS, folder)
        drawn.append((folder / "latency_over_load.svg").read_text())
    ElementTree.fromstring(drawn[0])
    assert ">good answers<" in drawn[0]
    assert drawn[0] == drawn[1]
    assert dict(matplotlib.rcParams) == before  # other pictures of the process keep their style


def test_without_the_phase_nothing_is_drawn(tmp_path: Path) -> None:
    assert not draw_load({}, tmp_path)
    assert list(tmp_path.iterdir()) == []
