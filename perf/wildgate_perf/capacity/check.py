"""The model against measured runs at other loads: what it predicts beside what was measured.

A point of the profile's own curve is predicted from the others (leave one out). A locust run is predicted from the
whole profile, phase by phase.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wildgate_perf.capacity.model import LatencyModel, MeasuredCurve, Queue, first_work_s, latency_model
from wildgate_perf.capacity.profile import CapacityError, LoadPoint, Profile
from wildgate_perf.results import read

_MOSTLY_FIRST = 0.05  # of answers from the cache, up to which latencies are those of videos that are looked at
_SETTLED_S = 5.0  # a phase shorter than that is mostly beginning and end

# Kinds of requests in a locust run: by which way the video came, and what a cached one cost.
_WAYS = {"content": "content", "stream": "content", "repeated, scored": "content", "uri": "uri"}
_CACHED = {
    "repeated, cached": "by_content",
    "uri, cached": "by_uri",
    "digest, cached": "by_digest",
    "digest, unknown": "by_digest",
}
_NO_VIDEO = "sent late"  # not a request, so it is no work


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
    model: str
    utilisation: Pair
    answered_per_s: Pair
    p50_ms: Pair
    p99_ms: Pair


def check_points(profile: Profile) -> list[Compared]:
    """Every load of the profile's curve, by the curve through the other loads and by the queue.

    Raises `CapacityError` where the profile has no loads.
    """
    if not profile.points:
        raise CapacityError("the profile has no points to check against; give a run")
    compared = []
    for point in sorted(profile.points, key=lambda point: point.offered_per_s):
        # Points at the same load would give the answer away.
        others = [
            other
            for other in profile.steady_points
            if other.arrivals == "uniform" and abs(other.offered_per_s / point.offered_per_s - 1) > 0.05
        ]
        curves: list[LatencyModel] = [MeasuredCurve.of(others, profile.curve_peak_per_s)] if others else []
        compared += [_compared(profile, point, model) for model in (*curves, Queue.of(profile, point.arrivals))]
    return compared


def _compared(profile: Profile, point: LoadPoint, model: LatencyModel) -> Compared:
    peak = profile.curve_peak_per_s
    load = point.offered_per_s / peak
    busy = None if point.server_cores is None else point.server_cores / profile.cores
    return Compared(
        about=f"{load:.0%} of the peak, {point.arrivals}",
        model=model.name,
        utilisation=Pair(min(1.0, load), busy),
        answered_per_s=Pair(min(point.offered_per_s, peak), point.answered_per_s),
        p50_ms=Pair(model.percentile_ms(0.5, load), point.p50_ms),
        p99_ms=Pair(model.percentile_ms(0.99, load), point.p99_ms),
    )


def check_run(profile: Profile, file: Path) -> list[Compared]:
    """Every phase of a locust run (its `--summary`), against one node like the profile's.

    Latencies are compared where nearly all answers are of videos that were looked at. Raises `CapacityError`.
    """
    try:
        content = read(file)
        work_s = _work_of_mix(profile, content["kinds"])
        phases = {name: phase for name, phase in content["phases"].items() if phase["seconds"] >= _SETTLED_S}
        if not phases:
            raise CapacityError(f"{file}: no phase of {_SETTLED_S:g} s or more")
        models = {model.name: model for model in (latency_model(profile), Queue.of(profile))}
        return [
            _phase_compared(name, phase, work_s, model) for name, phase in phases.items() for model in models.values()
        ]
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as cause:
        raise CapacityError(f"{file}: not the summary of a run: {type(cause).__name__}: {cause}") from cause


def _phase_compared(name: str, phase: Mapping[str, Any], work_s: float, model: LatencyModel) -> Compared:
    offered: float = phase["asked_per_s"]
    load = offered * work_s
    looked_at = (phase["cached_share"] or 0.0) <= _MOSTLY_FIRST
    return Compared(
        about=f"{name}, {load:.0%} of the peak",
        model=model.name,
        utilisation=Pair(min(1.0, load), None),
        answered_per_s=Pair(min(offered, 1 / work_s), phase["answered_per_s"]),
        p50_ms=Pair(model.percentile_ms(0.5, load) if looked_at else None, phase["p50_ms"]),
        p99_ms=Pair(model.percentile_ms(0.99, load) if looked_at else None, phase["p99_ms"]),
    )


def _work_of_mix(profile: Profile, kinds: Mapping[str, Mapping[str, Any]]) -> float:
    """Node-seconds of an answer of the run on average, by the counts of its kinds of request."""
    work_s, answered = 0.0, 0
    for kind, found in kinds.items():
        if kind == _NO_VIDEO or not (count := int(found["answered"])):
            continue
        if kind in _WAYS:
            work_s += count * first_work_s(profile, float(_WAYS[kind] == "uri"), profile.video_seconds)
        elif kind in _CACHED:
            if profile.cached_over_first is None:
                raise CapacityError("cached_over_first was not measured, and the run has cached videos")
            share: float | None = getattr(profile.cached_over_first, _CACHED[kind])
            first_s = first_work_s(profile, float(kind == "uri, cached"), profile.video_seconds)
            work_s += count * first_s * (1.0 if share is None else share)
        else:
            raise CapacityError(f"kind {kind!r} is unknown")
        # Being told to send the video is work, but not an answer about one.
        answered += count if kind != "digest, unknown" else 0
    if not answered:
        raise CapacityError("the run has no answers")
    return work_s / answered


def mean_error(pairs: Sequence[Pair]) -> float | None:
    """The mean of the errors' sizes; None where nothing can be compared."""
    errors = [abs(error) for pair in pairs if (error := pair.error) is not None]
    return sum(errors) / len(errors) if errors else None
