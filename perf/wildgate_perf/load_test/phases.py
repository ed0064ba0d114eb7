"""A run's figures by phase, from locust's own statistics.

At each change of phase the counters of every row are noted; a phase's figures are their differences. Latencies are
rounded as locust rounds them (to two digits from 100 ms on). A distributed master hears from its workers every 3 s, so
its phases begin and end that much later.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

from wildgate_perf.load_test.kinds import KINDS, REFUSED, SENT_LATE, UNKNOWN_DIGEST
from wildgate_perf.load_test.load_shapes import WARM_UP

__all__ = ["Figures", "Phases", "Row"]


class Row(Protocol):
    """A row of locust's statistics (`locust.stats.StatsEntry`)."""

    @property
    def num_requests(self) -> int:
        """Requests that ended."""

    @property
    def num_failures(self) -> int:
        """Those among them that failed."""

    @property
    def response_times(self) -> Mapping[int, int]:
        """How many requests took how many milliseconds."""


@dataclass
class _Counts:
    requests: int = 0
    failures: int = 0
    times_ms: Counter[float] = field(default_factory=Counter)


@dataclass(frozen=True)
class Figures:
    """What came of requests over so many `seconds`.

    `refused` were turned away because the server was full; `failed` ended otherwise than in a verdict. Latencies are
    those of all requests but the refused ones, as in locust's table.
    """

    seconds: float
    asked: int
    refused: int
    failed: int
    cached: int
    times_ms: Mapping[float, int]

    @property
    def answered(self) -> int:
        """Requests that ended in a verdict."""
        return self.asked - self.refused - self.failed

    @property
    def answered_per_s(self) -> float:
        """Goodput."""
        return self.answered / self.seconds if self.seconds else 0.0

    @property
    def failed_share(self) -> float:
        """Failed ones among all requests; NaN of none."""
        return self.failed / self.asked if self.asked else float("nan")

    @property
    def refused_share(self) -> float:
        """Refused ones among all requests; NaN of none."""
        return self.refused / self.asked if self.asked else float("nan")

    def percentile_ms(self, share: float) -> float:
        """The latency that a `share` (0 to 1) of the requests do not exceed, by nearest rank; NaN of none."""
        rank = max(1, -int(-share * sum(self.times_ms.values()) // 1))
        for took_ms in sorted(self.times_ms):
            rank -= self.times_ms[took_ms]
            if rank <= 0:
                return took_ms
        return float("nan")

    def as_json(self) -> dict[str, Any]:
        """All of it; `wildgate capacity check` reads phases and kinds."""
        return {
            **{name: getattr(self, name) for name in ("seconds", "asked", "answered", "refused", "failed")},
            "asked_per_s": self.asked / self.seconds if self.seconds else 0.0,
            "answered_per_s": self.answered_per_s,
            "failed_share": self.failed_share,
            "refused_share": self.refused_share,
            "cached_share": self.cached / self.answered if self.answered else None,
            **{f"p{share * 100:g}_ms": self.percentile_ms(share) for share in (0.5, 0.95, 0.99)},
        }


class Phases:
    """The phases of one run, noted as it goes."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._marks: list[tuple[str, float, dict[str, _Counts]]] = []
        self._ended: float | None = None

    def begin(self, phase: str, entries: Mapping[tuple[str, str], Row]) -> None:
        """A phase begins, unless it is the one in progress; `entries` are locust's statistics by name and type."""
        if not self._marks or self._marks[-1][0] != phase:
            self._marks.append((phase, self._now(), _noted(entries)))

    def end(self) -> None:
        """The load ends now; what is still in flight counts for the last phase."""
        self._ended = self._ended or self._now()

    def figures(self, entries: Mapping[tuple[str, str], Row]) -> dict[tuple[str | None, str | None], Figures]:
        """By phase and kind of request. None is the whole run but its warm-up, and all kinds of requests."""
        self.end()
        assert self._ended is not None
        found: dict[tuple[str | None, str | None], Figures] = {}
        marks = [*self._marks, ("", self._ended, _noted(entries))]
        spans = [
            (phase, until - since, _difference(before, after))
            for (phase, since, before), (_, until, after) in pairwise(marks)
        ]
        for phase in (None, *dict.fromkeys(phase for phase, _, _ in spans)):
            parts = [span for span in spans if span[0] == phase or (phase is None and span[0] != WARM_UP)]
            seconds = sum(part[1] for part in parts)
            rows = [row for part in parts for row in part[2].items()]
            for kind in (None, *KINDS):
                wanted = [row for row in rows if _is_of(row[0], kind)]
                if wanted or kind is None:
                    found[phase, kind] = _figures(seconds, wanted)
        return found


def _noted(entries: Mapping[tuple[str, str], Row]) -> dict[str, _Counts]:
    return {
        name: _Counts(row.num_requests, row.num_failures, Counter(row.response_times))
        for (name, _), row in entries.items()
        if name.removesuffix(REFUSED) in KINDS
    }


def _difference(before: Mapping[str, _Counts], after: Mapping[str, _Counts]) -> dict[str, _Counts]:
    rows = {}
    for name, now in after.items():
        then = before.get(name, _Counts())
        if now.requests > then.requests:
            rows[name] = _Counts(
                now.requests - then.requests, now.failures - then.failures, now.times_ms - then.times_ms
            )
    return rows


def _is_of(name: str, kind: str | None) -> bool:
    if kind is None:
        return name not in (UNKNOWN_DIGEST, SENT_LATE)
    return name.removesuffix(REFUSED) == kind


def _figures(seconds: float, rows: Iterable[tuple[str, _Counts]]) -> Figures:
    asked = refused = failed = cached = 0
    times_ms: Counter[float] = Counter()
    for name, counts in rows:
        asked += counts.requests
        if name.endswith(REFUSED):
            refused += counts.failures
            continue
        failed += counts.failures
        times_ms += counts.times_ms
        cached += counts.requests - counts.failures if name.endswith(", cached") else 0
    return Figures(seconds, asked, refused, failed, cached, times_ms)
