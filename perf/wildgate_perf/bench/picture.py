"""The picture of docs/performance.md that `make bench` draws: latency and goodput over offered load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib import pyplot
from matplotlib.figure import Figure

# M. Okabe, K. Ito, "Color Universal Design": told apart with any kind of colour vision. Points differ in marks too.
BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
STYLE: Any = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "lines.markersize": 5,
    "svg.fonttype": "none",  # words stay words: they can be searched, and any font will do
    "svg.hashsalt": "wildgate",  # the same figures give the same file
}
"""Of all pictures."""


def draw_load(details: Mapping[str, Any], folder: Path) -> bool:
    """Draws `latency_over_load.svg`; returns whether the results have what it shows."""
    found = details.get("latency_over_load")
    if not found:
        return False
    points, peak = found["points"], found["peaks_per_s"]["median"]
    offered = [point["offered_per_s"] for point in points]
    with pyplot.rc_context(STYLE):  # the style must hold while drawing and while saving
        figure = Figure(figsize=(10, 4), layout="constrained")
        latency, goodput = figure.subplots(1, 2)
        for share, colour, mark in (("p50_ms", BLUE, "o"), ("p99_ms", RED, "s")):
            took_ms = [point[share] or float("nan") for point in points]
            latency.plot(offered, took_ms, mark, color=colour, label=share[:3])
        latency.set(yscale="log", ylabel="latency from when it was due, ms", title="Latency of answers")
        goodput.plot([0, peak, max(offered)], [0, peak, peak], color=GREY, label="ideal")
        goodput.plot(offered, [point["good_per_s"] for point in points], "^", color=GREEN, label="good answers")
        goodput.set(ylabel="verdicts in time, videos/s", title=f"Goodput (in time: {found['deadline_s']:g} s)")
        goodput.set_ylim(bottom=0)
        for axes in (latency, goodput):
            axes.axvline(peak, color=GREY, linestyle=":", linewidth=1)
            axes.set_xlabel("offered load, videos/s (dotted: peak)")
            axes.legend()
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / "latency_over_load.svg", metadata={"Date": None})
    return True
