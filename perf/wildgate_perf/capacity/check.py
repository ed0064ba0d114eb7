"""The model against measured loads: each point of the profile's curve as predicted from the others (leave one out)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wildgate_perf.capacity.model import LatencyCurve
from wildgate_perf.capacity.profile import CapacityError, Profile

_SAME_LOAD = 0.05


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
    """One load: `utilisation` is the share of the node's capacity that was offered, at most 1."""

    about: str
    utilisation: Pair
    answered_per_s: Pair
    p50_ms: Pair
    p99_ms: Pair


def check_points(profile: Profile) -> list[Compared]:
    """Every load of the profile, by the curve through the others. Raises `CapacityError` where there is none."""
    if not profile.points:
        raise CapacityError("the profile has no points to check against")
    peak, compared = profile.curve_peak_per_s, []
    for point in sorted(profile.points, key=lambda point: point.offered_per_s):
        load = point.offered_per_s / peak
        # Points at the same load would give the answer away.
        others = [o for o in profile.curve_points if abs(o.offered_per_s / point.offered_per_s - 1) > _SAME_LOAD]
        curve = LatencyCurve.of(others, peak)
        busy = None if point.server_cores is None else point.server_cores / profile.cores
        compared.append(
            Compared(
                about=f"{load:.0%} of the peak, {point.arrivals}",
                utilisation=Pair(min(1.0, load), busy),
                answered_per_s=Pair(min(point.offered_per_s, peak), point.answered_per_s),
                p50_ms=Pair(curve.percentile_ms(0.5, load), point.p50_ms),
                p99_ms=Pair(curve.percentile_ms(0.99, load), point.p99_ms),
            )
        )
    return compared


def mean_error(pairs: Sequence[Pair]) -> float | None:
    """The mean of the errors' sizes; None where nothing can be compared."""
    errors = [abs(error) for pair in pairs if (error := pair.error) is not None]
    return sum(errors) / len(errors) if errors else None
