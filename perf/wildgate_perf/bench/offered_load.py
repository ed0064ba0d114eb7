"""How the server bears load: latency and goodput against offered load, from next to none to three times its peak.

The peak is what a closed loop with many clients gets out of the server, measured again in every round, because the
machine's own limit drifts. All else is an open loop: videos of 5 MB by `file:` URI, due on a timetable, each to be
answered within the deadline, none asked again. An answer counts as good when it is a verdict in time; a refusal
(RESOURCE_EXHAUSTED) is honest, but not good.

- `p99_at_70pct_over_unloaded_p50`: in each round, the p99 at 0.7 of the peak over the median of one client;
  uniform arrivals, so that the spread is the server's own and not the callers'. Poisson arrivals are measured beside
  (`poisson_...`). What was refused or failed took for ever: more than 1 % of that, and the target is missed, with no
  figure (null).
- `goodput_at_3x_over_peak`: in each round, good answers a second at three times the peak, over the mean of the peaks
  before and after. What came during the first seconds, while queues fill, does not count.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

from wildgate_perf.bench.phase import SETTINGS, Bench, Findings, all_answered, observed
from wildgate_perf.load_generator import LoadGenerator
from wildgate_perf.loops import Arrivals, LoadPlan, Measured
from wildgate_perf.server_process import ServerProcess
from wildgate_perf.spread import Spread
from wildgate_perf.workloads import Workload, by_uri

_DEADLINE_S = 10.0
_SETTLE_S, _SETTLE_STEP_S, _RESTING_CORES = 10.0, 0.3, 0.15
_STEADY, _OVERLOAD = 0.7, 3.0


def goodput_over_peak(overload: list[dict[str, Any]], peaks: list[float]) -> Spread:
    """Goodput at overload over the mean of the peaks before and after."""
    around = [(before + after) / 2 for before, after in pairwise(peaks)]
    return Spread.ratios([point["good_per_s"] for point in overload], around)


def tail_over_unloaded(points: list[dict[str, Any]], unloaded_ms: list[float]) -> Spread:
    """The p99 under load over the unloaded median."""
    return Spread.ratios([point["p99_or_failed_ms"] for point in points], unloaded_ms)


def latency_over_load(bench: Bench) -> Findings:
    """Both figures, and the whole curve."""
    plan = bench.plan
    unloaded_ms: list[float] = []
    steady: list[dict[str, Any]] = []
    overload: list[dict[str, Any]] = []
    with LoadGenerator() as load, bench.serving("latency_over_load", **SETTINGS) as server:
        workload = replace(by_uri(server.target, [file.as_uri() for file in bench.videos()]), deadline_s=_DEADLINE_S)
        offer = _Offer(bench, load, server, workload)
        load.closed(workload, LoadPlan(bench.clients, 0.0, plan.warm_up_s))
        first = offer.peak()
        curve = [offer.point(share, first, plan.point_s) for share in plan.points]
        poisson = offer.point(_STEADY, first, plan.steady_s, arrivals="poisson")
        peaks = [offer.peak()]
        for _ in range(plan.load_rounds):
            unloaded_ms.append(offer.unloaded_ms())
            steady.append(offer.point(_STEADY, peaks[-1], plan.steady_s))
            overload.append(offer.point(_OVERLOAD, peaks[-1], plan.overload_s, warm_up_s=plan.overload_warm_up_s))
            peaks.append(offer.peak())
    tail, goodput = tail_over_unloaded(steady, unloaded_ms), goodput_over_peak(overload, peaks)
    poisson_tail = tail_over_unloaded([poisson], unloaded_ms[:1]).median
    figures = {
        "p99_at_70pct_over_unloaded_p50": tail.median,
        "poisson_p99_at_70pct_over_unloaded_p50": poisson_tail,
        "goodput_at_3x_over_peak": goodput.median,
    }
    details = {
        "p99_at_70pct_over_unloaded_p50": tail.as_json(),
        "goodput_at_3x_over_peak": goodput.as_json(),
        "peaks_per_s": Spread.of([first, *peaks]).as_json(),
        "unloaded_p50_ms": Spread.of(unloaded_ms).as_json(),
        "points": sorted([*curve, *steady, *overload], key=lambda point: point["of_peak"]),
        "poisson_at_70pct": poisson | {"p99_over_unloaded_p50": poisson_tail},
        "deadline_s": _DEADLINE_S,
        "clients_at_peak": bench.clients,
        "settings": SETTINGS,
    }
    return Findings(figures, {"latency_over_load": details})


class _Offer:
    """The loops of this phase, against one server."""

    def __init__(self, bench: Bench, load: LoadGenerator, server: ServerProcess, workload: Workload) -> None:
        self._bench, self._load, self._server, self._workload = bench, load, server, workload

    def peak(self) -> float:
        """Videos/s of a closed loop with many clients."""
        self._settle()
        plan = self._bench.plan
        loaded = self._load.closed(self._workload, LoadPlan(self._bench.clients, plan.warm_up_s, plan.peak_s))
        peak = all_answered(loaded).per_s
        self._bench.say(f"latency_over_load: peak {peak:.2f} videos/s")
        return peak

    def unloaded_ms(self) -> float:
        """The median latency of one client."""
        self._settle()
        loaded = self._load.closed(self._workload, LoadPlan(1, 0.5, self._bench.plan.unloaded_s))
        return all_answered(loaded).took_ms(0.5)

    def point(
        self, of_peak: float, peak: float, seconds: float, arrivals: Arrivals = "uniform", *, warm_up_s: float = 1.0
    ) -> dict[str, Any]:
        """What comes of offering a share of the peak for a while."""
        self._settle()
        began = time.perf_counter()
        offer = partial(self._load.open, self._workload, of_peak * peak, seconds, arrivals, warm_up_s=warm_up_s)
        seen = observed(self._server.cpu_times, offer)
        found = {
            "of_peak": of_peak,
            "arrivals": arrivals,
            "offered_per_s": round(of_peak * peak, 3),
            **point_as_json(seen.measured),
            "server_cores": round(seen.used.total_s / (time.perf_counter() - began), 3),
            **seen.others,
        }
        self._bench.say(
            f"latency_over_load: {of_peak:g} of the peak ({arrivals}): {found['good_per_s']:.2f} good/s of "
            f"{found['offered_per_s']:.2f}, p50 {found['p50_ms']:.0f} ms, p99 {found['p99_ms']:.0f} ms"
        )
        return found

    def _settle(self) -> None:
        """Waits until the server rests: what callers gave up may still be under way in it."""
        gives_up, before = time.monotonic() + _SETTLE_S, self._server.cpu_times().total_s
        while time.monotonic() < gives_up:
            time.sleep(_SETTLE_STEP_S)
            now = self._server.cpu_times().total_s
            if now - before < _RESTING_CORES * _SETTLE_STEP_S:
                return
            before = now


def point_as_json(measured: Measured) -> dict[str, Any]:
    """What the answers to an open loop say of one offered load."""
    return {
        "good_per_s": round(measured.good_per_s(_DEADLINE_S * 1e3), 3),
        "requests": len(measured.counted),
        "failures": measured.failures,
        "p50_ms": round(measured.took_ms(0.5), 1),
        "p90_ms": round(measured.took_ms(0.9), 1),
        "p99_ms": round(measured.took_ms(0.99), 1),
        "p99_or_failed_ms": round(measured.took_or_failed_ms(0.99), 1),
        "sent_late_p99_ms": round(measured.late_ms(0.99), 2),
        "load_generator_core_share": round(measured.core_share, 4),
    }
