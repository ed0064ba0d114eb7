"""The look of every picture: one style, colours that all eyes tell apart, as SVG."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cycler import cycler
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# M. Okabe, K. Ito, "Color Universal Design": told apart with any kind of colour vision. Lines differ in marks too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
GREY = "#666666"

_STYLE: Any = {
    "axes.prop_cycle": cycler(color=COLOURS, marker=("o", "s", "^", "D", "v", "P", "X", "*")),
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "font.size": 10,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "svg.fonttype": "none",  # words stay words: they can be searched, and any font will do
    "svg.hashsalt": "wildgate",  # the same figures give the same file
}


@contextmanager
def picture(
    folder: Path, name: str, *, rows: int = 1, columns: int = 1, size: tuple[float, float] = (7.5, 4.2)
) -> Iterator[list[Axes]]:
    """Axes to draw on, row by row, `size` inches in all; saved as `folder/name.svg` at the end."""
    # The style must hold while drawing and while saving; pyplot's windows are never used.
    with pyplot.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield list(figure.subplots(rows, columns, squeeze=False).flat)
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
