"""The model against measured loads. It knows the peak and what one video takes alone, and nothing of these loads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wildgate_perf.capacity.profile import SATURATED, CapacityError, LoadPoint, Profile
from wildgate_perf.capacity.queueing import Node, latencies_s, poisson, uniform
from wildgate_perf.loops import percentile

ALIKE = 0.1
"""How much the work of the videos of `make bench` differs."""
_VIDEOS = 20_000
_ARRIVALS = {"poisson": poisson, "uniform": uniform}


@dataclass(frozen=True)
class Pair:
    """One figure, predicted and measured; None where the model does not reach or nothing was measured."""

    predicted: float | None
    measured: float | None

    @property
    def error(self) -> float | None:
        """Predicted over measured, less 1; None where one is missing."""
        return None if self.predicted is None or not self.measured else self.predicted / self.measured - 1


@dataclass(frozen=True)
class Compared:
    """One load: `utilisation` is the share of the capacity of its nodes that was offered, at most 1."""

    about: str
    utilisation: Pair
    answered_per_s: Pair
    p50_ms: Pair
    p99_ms: Pair


def check_points(profile: Profile) -> list[Compared]:
    """Every load of the profile. Raises `CapacityError` where there is none."""
    if not profile.points:
        raise CapacityError("the profile has no points to check against")
    return [compared(profile, point) for point in sorted(profile.points, key=lambda point: point.offered_per_s)]


def compared(profile: Profile, point: LoadPoint) -> Compared:
    """One load, on as many nodes as it was measured on. Beyond saturation, latency depends on how long it lasts."""
    peak = profile.curve_peak_per_s * point.nodes
    load = point.offered_per_s / peak
    busy = None if point.server_cores is None else point.server_cores / (profile.cores * point.nodes)
    p50_ms = p99_ms = None
    if load < SATURATED and point.arrivals in _ARRIVALS:
        came = _ARRIVALS[point.arrivals](point.offered_per_s)
        took_s = latencies_s(Node.of(profile, ALIKE), came, _VIDEOS, point.nodes)
        p50_ms, p99_ms = percentile(took_s, 0.5) * 1e3, percentile(took_s, 0.99) * 1e3
    several = f" on {point.nodes} nodes" if point.nodes > 1 else ""
    return Compared(
        about=f"{load:.0%} of the peak, {point.arrivals}{several}",
        utilisation=Pair(min(1.0, load), busy),
        answered_per_s=Pair(min(point.offered_per_s, peak), point.answered_per_s),
        p50_ms=Pair(p50_ms, point.p50_ms),
        p99_ms=Pair(p99_ms, point.p99_ms),
    )


def mean_error(pairs: Sequence[Pair]) -> float | None:
    """The mean of the errors' sizes; None where nothing can be compared."""
    errors = [abs(error) for pair in pairs if (error := pair.error) is not None]
    return sum(errors) / len(errors) if errors else None
