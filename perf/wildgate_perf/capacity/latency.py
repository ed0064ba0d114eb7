"""Latency of a node by how busy it is: a measured curve, or a queue; see the package for where they come from."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from wildgate_perf.capacity.profile import LoadPoint, Profile
from wildgate_perf.capacity.queueing import Variability, wait_percentile

__all__ = ["LatencyModel", "MeasuredCurve", "WaitingLine", "busiest", "latency_model"]

_LEAST_POINTS = 3
_P50, _P99 = 0.5, 0.99


class LatencyModel(Protocol):
    """Milliseconds by utilisation, 0 to 1; None where the model does not reach."""

    @property
    def name(self) -> str:
        """What it is called."""

    def p50_ms(self, utilisation: float) -> float | None:
        """The median."""

    def p99_ms(self, utilisation: float) -> float | None:
        """What 99 % keep."""


@dataclass(frozen=True)
class WaitingLine:
    """Latency of an idle node and the waiting time of G/G/c; the spread of an idle node's latency is left out."""

    unloaded_ms: float
    servers: int
    service_ms: float
    variability: Variability
    name: str = "queue"

    @classmethod
    def of(cls, profile: Profile, arrivals: str = "poisson") -> WaitingLine:
        """As many servers as the node has cores, who together do the peak; `arrivals` as in `LoadPoint`."""
        service_ms = profile.cores / profile.curve_peak_per_s * 1e3
        variability = Variability(0.0 if arrivals == "uniform" else 1.0, profile.service_variability)
        return cls(profile.unloaded_p50_ms, profile.cores, service_ms, variability)

    def p50_ms(self, utilisation: float) -> float | None:
        """See `LatencyModel`."""
        return self._at(_P50, utilisation)

    def p99_ms(self, utilisation: float) -> float | None:
        """See `LatencyModel`."""
        return self._at(_P99, utilisation)

    def _at(self, share: float, utilisation: float) -> float | None:
        if not 0 <= utilisation < 1:
            return None
        return self.unloaded_ms + wait_percentile(share, self.servers, utilisation, self.service_ms, self.variability)


@dataclass(frozen=True)
class MeasuredCurve:
    """Straight between measured points, never falling; below the first as that, beyond the last nothing is known."""

    points: Sequence[tuple[float, float, float]]
    """Utilisation, p50 and p99 in milliseconds, by utilisation."""
    name: str = "measured curve"

    @classmethod
    def of(cls, points: Sequence[LoadPoint], peak_per_s: float) -> MeasuredCurve:
        """The curve through measured loads of a node with that peak. Points of one load count as their mean."""
        by_load: dict[float, list[LoadPoint]] = {}
        for point in points:
            by_load.setdefault(round(point.offered_per_s / peak_per_s, 2), []).append(point)
        loads = sorted(by_load)
        medians = [sum(p.p50_ms for p in by_load[load]) / len(by_load[load]) for load in loads]
        tails = [sum(p.p99_ms for p in by_load[load]) / len(by_load[load]) for load in loads]
        # More load never takes less time; where it was measured so, that is noise.
        return cls(tuple(zip(loads, accumulate(medians, max), accumulate(tails, max), strict=True)))

    def p50_ms(self, utilisation: float) -> float | None:
        """See `LatencyModel`."""
        return self._at(1, utilisation)

    def p99_ms(self, utilisation: float) -> float | None:
        """See `LatencyModel`."""
        return self._at(2, utilisation)

    def _at(self, column: int, utilisation: float) -> float | None:
        right = bisect_left(self.points, utilisation, key=lambda point: point[0])
        if right == len(self.points):
            return None
        if right == 0:
            return self.points[0][column]
        below, above = self.points[right - 1], self.points[right]
        part = (utilisation - below[0]) / (above[0] - below[0])
        return below[column] + part * (above[column] - below[column])


def latency_model(profile: Profile) -> LatencyModel:
    """The measured curve where the profile has three loads below saturation or more, else the queue."""
    curve = MeasuredCurve.of([p for p in profile.steady_points if p.arrivals == "uniform"], profile.curve_peak_per_s)
    return curve if len(curve.points) >= _LEAST_POINTS else WaitingLine.of(profile)


def busiest(model: LatencyModel, p99_ms: float, at_most: float) -> float | None:
    """The highest utilisation up to `at_most` that keeps the objective, to a thousandth; None: not even an idle node.

    Where the model does not reach, it promises nothing.
    """

    def kept(thousandths: int) -> bool:
        latency = model.p99_ms(thousandths / 1000)
        return latency is not None and latency <= p99_ms

    kept_up_to = [thousandths for thousandths in range(1, int(at_most * 1000) + 1) if kept(thousandths)]
    return kept_up_to[-1] / 1000 if kept_up_to else None
