"""The picture of docs/performance.md that `make bench` draws: latency and goodput over offered load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wildgate_perf.pictures import COLOURS, GREY, picture


def draw_load(details: Mapping[str, Any], folder: Path) -> bool:
    """Draws `latency_over_load.svg`; returns whether the results have what it shows."""
    found = details.get("latency_over_load")
    if not found:
        return False
    points = found["points"]
    offered = [point["offered_per_s"] for point in points]
    peak = found["peaks_per_s"]["median"]
    with picture(folder, "latency_over_load", columns=2, size=(10, 4)) as (latency, goodput):
        for share, colour, mark in (("p50_ms", COLOURS[0], "o"), ("p99_ms", COLOURS[1], "s")):
            answered = [(rate, point[share]) for rate, point in zip(offered, points, strict=True) if point[share]]
            latency.plot(*zip(*answered, strict=True), linestyle="none", marker=mark, color=colour, label=share[:3])
        latency.set_yscale("log")
        latency.set_ylabel("latency from when it was due, ms")
        latency.set_title("Latency of answers")
        goodput.plot([0, peak, max(offered)], [0, peak, peak], color=GREY, marker="", label="ideal")
        goodput.plot(
            offered, [point["good_per_s"] for point in points], linestyle="none", color=COLOURS[2], label="good answers"
        )
        goodput.set_ylabel("verdicts in time, videos/s")
        goodput.set_ylim(bottom=0)
        goodput.set_title(f"Goodput (in time: {found['deadline_s']:g} s)")
        for axes in (latency, goodput):
            axes.axvline(peak, color=GREY, linestyle=":", linewidth=1)
            axes.set_xlabel("offered load, videos/s (dotted: peak)")
            axes.legend()
    return True
