"""The dashboards' main panels, as a Prometheus has them."""

from __future__ import annotations

import math
from pathlib import Path

from matplotlib import pyplot
from matplotlib.axes import Axes

from wildgate_perf.observe.dashboards import Panel
from wildgate_perf.observe.prometheus import Prometheus

__all__ = ["draw"]

_COLUMNS = 3
_MOST_LINES = 10
_POINTS = 120


def draw(source: Prometheus, panels: list[Panel], start_s: float, end_s: float, file: Path) -> None:
    """Draws `panels` over that time, in seconds since 1970, into `file`."""
    rows = math.ceil(len(panels) / _COLUMNS)
    figure, places = pyplot.subplots(rows, _COLUMNS, figsize=(5 * _COLUMNS, 3 * rows), layout="constrained")
    for place in places.flat[len(panels) :]:
        place.remove()
    for axes, panel in zip(places.flat, panels, strict=False):
        _draw_panel(axes, source, panel, start_s, end_s)
    figure.savefig(file, dpi=100)
    pyplot.close(figure)


def _draw_panel(axes: Axes, source: Prometheus, panel: Panel, start_s: float, end_s: float) -> None:
    axes.set_title(f"{panel.title} [{panel.unit}]", fontsize=9)
    step_s = max(1.0, (end_s - start_s) / _POINTS)
    for query, legend in zip(panel.asked(".*", "30s"), panel.legends, strict=True):
        for series in source.ask_over(query, start_s, end_s, step_s)[:_MOST_LINES]:
            name = legend
            for label, value in series["metric"].items():
                name = name.replace(f"{{{{{label}}}}}", value)
            points = [(float(at) - start_s, float(value)) for at, value in series["values"]]
            axes.plot(*zip(*points, strict=True), label=name, linewidth=1)
    axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize=6, loc="upper left")
