"""A run's figures by phase, from locust's own statistics.

At each change of phase the counters of every row are noted; a phase's figures are their differences. Latencies are
rounded as locust rounds them (to two digits from 100 ms on), and those of failed requests count, as in locust's table;
refused ones have rows of their own. A distributed master hears from its workers every 3 s, so its phases begin and end
that much later.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, TypeAlias

from wildgate_perf.load_test.kinds import REFUSED, Kind
from wildgate_perf.load_test.load_shapes import WARM_UP
from wildgate_perf.loops import percentile

Figures: TypeAlias = Mapping[str, float | None]
"""`seconds`, `asked`, `answered`, `refused`, `failed`, `asked_per_s`, `answered_per_s` (goodput), `failed_share`,
`refused_share`, `cached_share`, `p50_ms`, `p95_ms`, `p99_ms`; None where nothing was asked."""

FiguresBy: TypeAlias = Mapping[tuple[str | None, str | None], Figures]
"""By phase and kind of request. None is the whole run but its warm-up, and all kinds of requests."""

PERCENTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}

_Rows: TypeAlias = dict[str, tuple[int, int, Counter[int]]]  # requests, failures and latencies by name
_NOTHING: tuple[int, int, Counter[int]] = (0, 0, Counter())


class Phases:
    """The phases of one run, noted as it goes; `entries` are locust's statistics (`StatsEntry`) by name and type."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._marks: list[tuple[str, float, _Rows]] = []
        self._ended: float | None = None

    def begin(self, phase: str, entries: Mapping[tuple[str, str], Any]) -> None:
        """A phase begins, unless it is the one in progress."""
        if not self._marks or self._marks[-1][0] != phase:
            self._marks.append((phase, self._now(), _noted(entries)))

    def end(self) -> None:
        """The load ends now; what is still in flight counts for the last phase."""
        self._ended = self._ended or self._now()

    def figures(self, entries: Mapping[tuple[str, str], Any]) -> FiguresBy:
        """The figures of every phase and kind of request that there was."""
        self.end()
        marks = [*self._marks, ("", self._ended or 0.0, _noted(entries))]
        spans = [(one[0], other[1] - one[1], _less(other[2], one[2])) for one, other in pairwise(marks)]
        found: dict[tuple[str | None, str | None], Figures] = {}
        for phase in (None, *dict.fromkeys(phase for phase, _, _ in spans)):
            parts = [span for span in spans if span[0] == phase or (phase is None and span[0] != WARM_UP)]
            seconds = sum(part[1] for part in parts)
            for kind in (None, *(kind.value for kind in Kind)):
                rows = [rows for part in parts for rows in part[2].items() if _is_of(rows[0], kind)]
                if rows or kind is None:
                    found[phase, kind] = _figures(seconds, rows)
        return found


def _noted(entries: Mapping[tuple[str, str], Any]) -> _Rows:
    return {
        name: (row.num_requests, row.num_failures, Counter(row.response_times))
        for (name, _), row in entries.items()
        if name.removesuffix(REFUSED) in {*Kind}
    }


def _less(after: _Rows, before: _Rows) -> _Rows:
    rows = {}
    for name, (requests, failures, times) in after.items():
        then = before.get(name, _NOTHING)
        if requests > then[0]:
            rows[name] = (requests - then[0], failures - then[1], times - then[2])
    return rows


def _is_of(name: str, kind: str | None) -> bool:
    return name not in (Kind.UNKNOWN_DIGEST, Kind.SENT_LATE) if kind is None else name.removesuffix(REFUSED) == kind


def _figures(seconds: float, rows: list[tuple[str, tuple[int, int, Counter[int]]]]) -> Figures:
    asked = sum(requests for _, (requests, _, _) in rows)
    refused = sum(failures for name, (_, failures, _) in rows if name.endswith(REFUSED))
    failed = sum(failures for _, (_, failures, _) in rows) - refused
    answered = asked - refused - failed
    cached = sum(requests - failures for name, (requests, failures, _) in rows if name.endswith(", cached"))
    times: Counter[int] = sum((times for name, (_, _, times) in rows if not name.endswith(REFUSED)), Counter())
    took_ms = list(times.elements())
    return {
        "seconds": seconds,
        "asked": asked,
        "answered": answered,
        "refused": refused,
        "failed": failed,
        "asked_per_s": asked / seconds if seconds else 0.0,
        "answered_per_s": answered / seconds if seconds else 0.0,
        "failed_share": failed / asked if asked else None,
        "refused_share": refused / asked if asked else None,
        "cached_share": cached / answered if answered else None,
        **{name: percentile(took_ms, share) if took_ms else None for name, share in PERCENTILES.items()},
    }
