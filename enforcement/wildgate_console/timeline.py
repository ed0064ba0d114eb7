"""A video as a line of time, in thousandths: what was looked at, what was seen, and what was not looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from wildgate_proto.v1 import scoring_pb2

__all__ = ["Row", "Timeline", "timeline"]

_WIDTH = 1000.0
_LEAST = 4.0  # so that an instant can be seen


@dataclass(frozen=True, slots=True)
class Bar:
    """From x on, so wide; `about` says what it is in words."""

    x: float
    width: float
    about: str


@dataclass(frozen=True, slots=True)
class Row:
    """One label, and when it was seen."""

    label: str
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Timeline:
    """What a template draws. `gaps` are stretches longer than the server aims at; `frames` are evidence."""

    end_s: float
    looked_at: Sequence[float]
    gaps: Sequence[Bar]
    rows: Sequence[Row]
    frames: Sequence[float]


def timeline(verdict: scoring_pb2.Verdict, evidence: Sequence[float]) -> Timeline:
    """The line of time of the track that is shown by default."""
    coverage = verdict.coverage
    spans = [span for label in verdict.labels for span in label.spans]
    start = coverage.first_frame_s
    end = max([coverage.last_frame_s, *(span.end_s for span in spans), *evidence, start + 0.1])

    def x(time_s: float) -> float:
        return round(min(max(time_s - start, 0.0) / (end - start), 1.0) * _WIDTH, 1)

    def bar(from_s: float, to_s: float, about: str = "") -> Bar:
        left = min(x(from_s), _WIDTH - _LEAST)
        return Bar(left, max(x(to_s) - left, _LEAST), f"{about} {from_s:.1f}–{to_s:.1f} s".strip())  # noqa: RUF001

    stops = [start, *coverage.looked_at_s, coverage.last_frame_s]
    aim = coverage.max_gap_s or 2.0
    gaps = [bar(a, b) for a, b in pairwise(stops) if b - a > aim * 1.01] if coverage.looked_at_s else []
    rows = [
        Row(label.label, [bar(span.start_s, span.end_s, label.label) for span in label.spans])
        for label in verdict.labels
    ]
    return Timeline(end, [x(each) for each in coverage.looked_at_s], gaps, rows, [x(each) for each in evidence])
