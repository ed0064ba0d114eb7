"""How good verdicts and decisions are, week by week, as a picture (SVG)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from reportlab.graphics import renderSVG
from reportlab.graphics.shapes import Circle, Drawing, Group, Line, String
from reportlab.lib.colors import HexColor

from wildgate_enforcement.quality import Quality

__all__ = ["quality_picture"]

_MEASURES: Mapping[str, Callable[[Quality], float | None]] = {
    "precision of REVIEW and BLOCK": lambda row: row.precision,
    "ALLOWs that were wrong, of those sampled": lambda row: row.wrong_allows,
    "second persons who agreed": lambda row: row.agreement,
}
_COLOURS = [HexColor(code) for code in ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")]
_GREY = HexColor("#CCCCCC")
_WIDTH, _HEIGHT = 720, 190  # of each chart
_LEFT, _RIGHT, _BOTTOM, _TOP = 50, 560, 30, 160  # of what is plotted in it
_MOST_WEEKS_NAMED = 10


def quality_picture(found: Mapping[tuple[str, str], Quality]) -> str:
    """A chart (SVG) for each measure, with a line for each of the labels that were decided most."""
    decided = Counter[str]()
    for (_, label), row in found.items():
        decided[label] += row.confirmed + row.harmless + row.samples
    labels = [label for label, _ in decided.most_common(len(_COLOURS))]
    weeks = sorted({week for week, _ in found})
    drawing = Drawing(_WIDTH, _HEIGHT * len(_MEASURES))
    for number, (title, measure) in enumerate(_MEASURES.items()):
        shares = {label: [measure(found.get((week, label), Quality())) for week in weeks] for label in labels}
        chart = _chart(title, weeks, shares)
        chart.translate(0, _HEIGHT * (len(_MEASURES) - 1 - number))
        drawing.add(chart)
    return str(renderSVG.drawToString(drawing))


def _chart(title: str, weeks: Sequence[str], shares: Mapping[str, Sequence[float | None]]) -> Group:
    chart = Group(String(_LEFT, _TOP + 12, title, fontName="Helvetica-Bold", fontSize=11))
    step = (_RIGHT - _LEFT) / max(len(weeks) - 1, 1)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        at = _BOTTOM + share * (_TOP - _BOTTOM)
        chart.add(Line(_LEFT, at, _RIGHT, at, strokeColor=_GREY, strokeWidth=0.5))
        chart.add(String(_LEFT - 6, at - 3, f"{share:.0%}", fontSize=9, textAnchor="end"))
    for number in range(0, len(weeks), -(-len(weeks) // _MOST_WEEKS_NAMED) or 1):
        chart.add(String(_LEFT + number * step, _BOTTOM - 14, weeks[number], fontSize=9, textAnchor="middle"))
    for (label, line), colour, row in zip(shares.items(), _COLOURS, range(len(shares)), strict=False):
        points = [
            (_LEFT + number * step, _BOTTOM + share * (_TOP - _BOTTOM))
            for number, share in enumerate(line)
            if share is not None
        ]
        for (x1, y1), (x2, y2) in pairwise(points):
            chart.add(Line(x1, y1, x2, y2, strokeColor=colour, strokeWidth=2))
        for x, y in points:
            chart.add(Circle(x, y, 3, fillColor=colour, strokeColor=colour))
        top = _TOP - 4 - 16 * row
        chart.add(Circle(_RIGHT + 20, top + 3, 4, fillColor=colour, strokeColor=colour))
        chart.add(String(_RIGHT + 30, top, label[:24], fontSize=9))
    return chart
