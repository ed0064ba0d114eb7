"""A run in figures: counts, rates and times of a phase and a kind of request, or of several together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TypeAlias

from wildgate_perf.locust_load.kinds import UNKNOWN_DIGEST
from wildgate_perf.locust_load.load_shapes import WARM_UP
from wildgate_perf.locust_load.record import RunRecord
from wildgate_perf.locust_load.tally import Outcomes

__all__ = ["AFTER", "Figures", "FiguresBy", "figures_of", "per_second", "phases_of"]

AFTER = "after the end"
"""Requests that were under way when the load ended; like those of the warm-up they count in no figure of the run."""


@dataclass(frozen=True)
class Figures:
    """What came of some requests, over so many `seconds` with so many `users` on average.

    `offered_per_s` is what the users were to ask for; None where each asks again as soon as it has an answer.
    """

    seconds: float
    users: float
    offered_per_s: float | None
    outcomes: Outcomes

    @property
    def asked_per_s(self) -> float:
        """Requests that ended, a second."""
        return self._per_s(self.outcomes.asked)

    @property
    def answered_per_s(self) -> float:
        """Answers a second: goodput."""
        return self._per_s(self.outcomes.answered)

    @property
    def kept_share(self) -> float | None:
        """Of what the users were to ask for, how much they asked for; None where each asks as soon as it can.

        A whole number of requests, so it may lie a little above 1.
        """
        return None if not self.offered_per_s else self.asked_per_s / self.offered_per_s

    @property
    def failed_share(self) -> float:
        """Failed ones among all requests."""
        return self._share(self.outcomes.failed)

    @property
    def refused_share(self) -> float:
        """Refused ones among all requests."""
        return self._share(self.outcomes.refused)

    @property
    def cached_share(self) -> float:
        """Answers from the cache among all answers."""
        return self.outcomes.cached / self.outcomes.answered if self.outcomes.answered else float("nan")

    @property
    def p50_ms(self) -> float:
        """Median latency of answers."""
        return self.outcomes.latency.percentile_ms(0.50)

    @property
    def p95_ms(self) -> float:
        """Latency that 95 % of the answers keep."""
        return self.outcomes.latency.percentile_ms(0.95)

    @property
    def p99_ms(self) -> float:
        """Latency that 99 % of the answers keep."""
        return self.outcomes.latency.percentile_ms(0.99)

    def _per_s(self, count: int) -> float:
        return count / self.seconds if self.seconds else 0.0

    def _share(self, count: int) -> float:
        return count / self.outcomes.asked if self.outcomes.asked else float("nan")


FiguresBy: TypeAlias = Mapping[tuple[str | None, str | None], Figures]
"""Figures by phase and kind of request; None is all that count together."""


def phases_of(record: RunRecord) -> dict[str, float]:
    """The phases of the run in order, and how many seconds each took."""
    times = [(users.second, users.phase) for users in record.users] + [(record.ended, AFTER)]
    phases: dict[str, float] = {}
    for (since, phase), (until, _) in pairwise(times):
        phases[phase] = phases.get(phase, 0.0) + max(0.0, until - since)
    return phases


def figures_of(record: RunRecord) -> FiguresBy:
    """The figures of a run, of whatever phases and kinds it had."""
    seconds = phases_of(record)
    outcomes: dict[tuple[str | None, str | None], list[Outcomes]] = {}
    for second, asked, came in record.tally:
        # A second belongs to the phase that its middle lies in.
        within = record.phase_at(second + 0.5) or AFTER
        belongs_to = (within,) if within in (WARM_UP, AFTER) else (within, None)
        for key in product(belongs_to, (asked,) if asked == UNKNOWN_DIGEST else (asked, None)):
            outcomes.setdefault(key, []).append(came)
    counted = [phase for phase in seconds if phase != WARM_UP]
    figures: dict[tuple[str | None, str | None], Figures] = {}
    every_phase: tuple[str | None, ...] = (None, *seconds, AFTER)
    for phase in every_phase:
        parts_of_run = counted if phase is None else [phase]
        took_s = sum(seconds.get(name, 0.0) for name in parts_of_run)
        users = _mean_users(record, parts_of_run)
        for kind in (None, *record.kinds):
            offered = users * record.rate_per_user if record.rate_per_user and kind is None and took_s else None
            if parts := outcomes.get((phase, kind)):
                figures[phase, kind] = Figures(took_s, users, offered, Outcomes.sum(parts))
            elif kind is None and phase != AFTER:
                figures[phase, kind] = Figures(took_s, users, offered, Outcomes())
    return figures


def per_second(record: RunRecord) -> list[tuple[float, Mapping[str, Outcomes]]]:
    """Outcomes by kind of every whole second that had any; times in seconds since the run began."""
    by_second: dict[int, dict[str, Outcomes]] = {}
    for second, kind, came in record.tally:
        by_second.setdefault(second, {})[kind] = came
    return [(second + 0.5 - record.began, kinds) for second, kinds in sorted(by_second.items())]


def _mean_users(record: RunRecord, phases: Iterable[str]) -> float:
    wanted = set(phases)
    ends = [users.second for users in record.users[1:]] + [record.ended]
    spans = [
        (users.count, max(0.0, end - users.second))
        for users, end in zip(record.users, ends, strict=True)
        if users.phase in wanted
    ]
    whole_s = sum(took_s for _, took_s in spans)
    return sum(count * took_s for count, took_s in spans) / whole_s if whole_s else 0.0
