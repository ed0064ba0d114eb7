"""Figures of several rounds: their median, and how far apart they lie."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from wildgate_perf.loops import percentile


@dataclass(frozen=True)
class Spread:
    """One figure for each round, in the order of the rounds."""

    rounds: tuple[float, ...]

    @classmethod
    def of(cls, rounds: Iterable[float]) -> Spread:
        """Of figures that were measured, at least one. Raises ValueError where there is none or one is NaN."""
        values = tuple(rounds)
        if not values or any(value != value for value in values):
            raise ValueError(f"nothing was measured in a round: {values}")
        return cls(values)

    @classmethod
    def ratios(cls, above: Iterable[float], below: Iterable[float]) -> Spread:
        """Round by round, one figure over the other: rounds are near each other in time, so noise hits both."""
        return cls.of(upper / lower for upper, lower in zip(above, below, strict=True))

    @property
    def median(self) -> float:
        """The middle round, or the mean of the two in the middle."""
        return statistics.median(self.rounds)

    def as_json(self) -> dict[str, Any]:
        """Median, the nearest ranks of 10 and 90 %, and the rounds themselves."""
        return {
            "median": round(self.median, 4),
            "p10_p90": [round(percentile(self.rounds, share), 4) for share in (0.1, 0.9)],
            "rounds": [round(value, 4) for value in self.rounds],
        }
