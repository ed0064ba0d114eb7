"""Durations in buckets that keep their relative size: small, exact enough for percentiles, and they add up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["Histogram"]

_GROWTH = 1.02  # a bucket's upper edge over its lower one, so that a bucket's middle is within 1 % of all in it
_SMALLEST_MS = 0.01


class Histogram:
    """How many durations, in milliseconds, fell into which bucket; percentiles are within 1 % of the true ones.

    Durations below 0.01 ms count as 0.01 ms.
    """

    def __init__(self, buckets: Mapping[int, int] | None = None, total_ms: float = 0.0) -> None:
        self._buckets: dict[int, int] = dict(buckets or {})
        self._total_ms = total_ms

    def add(self, duration_ms: float) -> None:
        """Counts one duration."""
        bucket = max(0, math.floor(math.log(max(duration_ms, _SMALLEST_MS) / _SMALLEST_MS, _GROWTH)))
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self._total_ms += duration_ms

    def merge(self, other: Histogram) -> None:
        """Counts everything that `other` counted."""
        for bucket, count in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count
        self._total_ms += other._total_ms

    @classmethod
    def sum(cls, parts: Iterable[Histogram]) -> Histogram:
        """All of `parts` in one."""
        whole = cls()
        for part in parts:
            whole.merge(part)
        return whole

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return sum(self._buckets.values())

    @property
    def mean_ms(self) -> float:
        """Their mean, exact; NaN of none."""
        return self._total_ms / self.count if self._buckets else math.nan

    def percentile_ms(self, share: float) -> float:
        """The duration that a `share` (0 to 1) of all do not exceed, by nearest rank; NaN of none."""
        rank = max(1, math.ceil(share * self.count))
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank <= 0:
                return _SMALLEST_MS * math.pow(_GROWTH, bucket + 0.5)
        return math.nan

    def as_json(self) -> list[Any]:
        """`[total_ms, [bucket, count], ...]`, for JSON and for locust's messages."""
        return [self._total_ms, *([bucket, count] for bucket, count in sorted(self._buckets.items()))]

    @classmethod
    def from_json(cls, value: Sequence[Any]) -> Histogram:
        """The histogram that `as_json` wrote; ValueError for anything else."""
        try:
            total_ms, *buckets = value
            return cls({int(bucket): int(count) for bucket, count in buckets}, float(total_ms))
        except (TypeError, ValueError) as cause:
            raise ValueError(f"not a histogram: {cause}") from cause
