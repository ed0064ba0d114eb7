"""What came of every request, second by second: it adds up over locust's processes and goes into a JSON file."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from wildgate_perf.locust_load.histogram import Histogram

__all__ = ["Answer", "Came", "Outcomes", "Tally"]


class Came(enum.StrEnum):
    """How a request ended."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """RESOURCE_EXHAUSTED: the server was full, said so at once, and did no work."""
    FAILED = "failed"


@dataclass(frozen=True)
class Answer:
    """One request's end. `reason` is status and reason of a failure, `stages_ms` the server's own times."""

    came: Came
    took_ms: float
    response_bytes: int = 0
    request_bytes: int = 0
    cached: bool = False
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""


@dataclass
class Outcomes:
    """What came of a number of requests. Latencies and stage times are those of answered ones alone."""

    answered: int = 0
    refused: int = 0
    failed: int = 0
    cached: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    latency: Histogram = field(default_factory=Histogram)
    stages: dict[str, Histogram] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, answer: Answer) -> None:
        """Counts one request."""
        self.request_bytes += answer.request_bytes
        if answer.came is not Came.ANSWERED:
            self.reasons[answer.reason] += 1
            if answer.came is Came.REFUSED:
                self.refused += 1
            else:
                self.failed += 1
            return
        self.answered += 1
        self.cached += answer.cached
        self.response_bytes += answer.response_bytes
        self.latency.add(answer.took_ms)
        for stage, duration_ms in answer.stages_ms.items():
            self.stages.setdefault(stage, Histogram()).add(duration_ms)

    def merge(self, other: Outcomes) -> None:
        """Counts everything that `other` counted."""
        for name in ("answered", "refused", "failed", "cached", "request_bytes", "response_bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latency.merge(other.latency)
        for stage, durations in other.stages.items():
            self.stages.setdefault(stage, Histogram()).merge(durations)
        self.reasons.update(other.reasons)

    @classmethod
    def sum(cls, parts: Iterable[Outcomes]) -> Outcomes:
        """All of `parts` in one."""
        whole = cls()
        for part in parts:
            whole.merge(part)
        return whole

    @property
    def asked(self) -> int:
        """Requests that ended, whichever way."""
        return self.answered + self.refused + self.failed

    def as_json(self) -> dict[str, Any]:
        """Counts, histograms and reasons, for JSON and for locust's messages."""
        return {
            "answered": self.answered,
            "refused": self.refused,
            "failed": self.failed,
            "cached": self.cached,
            "request_bytes": self.request_bytes,
            "response_bytes": self.response_bytes,
            "latency": self.latency.as_json(),
            "stages": {stage: durations.as_json() for stage, durations in self.stages.items()},
            "reasons": dict(self.reasons),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Outcomes:
        """The outcomes that `as_json` wrote; KeyError, TypeError or ValueError for anything else."""
        return cls(
            **{
                name: int(value[name])
                for name in ("answered", "refused", "failed", "cached", "request_bytes", "response_bytes")
            },
            latency=Histogram.from_json(value["latency"]),
            stages={stage: Histogram.from_json(durations) for stage, durations in value["stages"].items()},
            reasons=Counter({str(reason): int(count) for reason, count in value["reasons"].items()}),
        )


class Tally:
    """Outcomes by the second in which the request ended (whole seconds since the epoch) and by its kind."""

    def __init__(self) -> None:
        self._outcomes: dict[tuple[int, str], Outcomes] = {}

    def add(self, second: int, kind: str, answer: Answer) -> None:
        """Counts one request."""
        self._outcomes.setdefault((second, kind), Outcomes()).add(answer)

    def take(self) -> Tally:
        """What was counted since the last `take`; it is no longer counted here."""
        taken = Tally()
        taken._outcomes, self._outcomes = self._outcomes, {}
        return taken

    def merge(self, other: Tally) -> None:
        """Counts everything that `other` counted."""
        for key, outcomes in other._outcomes.items():
            self._outcomes.setdefault(key, Outcomes()).merge(outcomes)

    def __iter__(self) -> Iterator[tuple[int, str, Outcomes]]:
        """Second, kind and outcomes, in order of time."""
        for second, kind in sorted(self._outcomes):
            yield second, kind, self._outcomes[second, kind]

    @property
    def answered(self) -> int:
        """Answered requests of all kinds and times."""
        return sum(outcomes.answered for outcomes in self._outcomes.values())

    def as_json(self) -> list[list[Any]]:
        """`[second, kind, outcomes]` each, for JSON and for locust's messages."""
        return [[second, kind, outcomes.as_json()] for second, kind, outcomes in self]

    @classmethod
    def from_json(cls, value: Iterable[Any]) -> Tally:
        """The tally that `as_json` wrote; KeyError, TypeError or ValueError for anything else."""
        tally = cls()
        for second, kind, outcomes in value:
            tally._outcomes[int(second), str(kind)] = Outcomes.from_json(outcomes)
        return tally
