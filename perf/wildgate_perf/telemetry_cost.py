"""`python -m wildgate_perf.telemetry_cost`: processor time that a gateway's own telemetry takes of a video.

Each figure is the least of several rounds, in one process: what is told of a video and its call, and the spans of a
request with tracing off, on but not sampled, and sampled. Nobody takes the spans: they are made and put together.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
import timeit
from collections.abc import Callable

from wildgate_perf.server_parts import Metrics, Stage, TracingSettings, serving_span, span, tracing

_NOBODY = "http://127.0.0.1:9/v1/traces"
_ROUNDS, _TIMES = 7, 1000
_STEPS = ("receive", "sample", "infer", "answer")


def least_us(work: Callable[[], None]) -> float:
    """Microseconds of processor time that one call takes at least; those of the thread that sends spans not counted."""
    return min(timeit.repeat(work, timer=time.thread_time, number=_TIMES, repeat=_ROUNDS)) / _TIMES * 1e6


def _told(metrics: Metrics) -> Callable[[], None]:
    timings = dict.fromkeys((Stage.READ, Stage.SAMPLE, Stage.QUEUE, Stage.DECODE, Stage.DETECT, Stage.TOTAL), 90.0)

    def tell() -> None:
        metrics.call_began("unary", "service", "method")
        metrics.answered("ALLOW", timings)
        metrics.judged([("ivory", "REVIEW")], gap_s=1.0, looked_at=8, unsound=0)
        metrics.scored(0.3, "ALLOW")
        metrics.call_ended("unary", "service", "method", "OK", 0.09)

    return tell


def _traced() -> None:
    with serving_span("Score", [("user-agent", "perf")]):
        for step in _STEPS:
            with span(step):
                pass


async def _measured() -> dict[str, float]:
    figures = {"metrics of a video": least_us(_told(Metrics())), "tracing off": least_us(_traced)}
    for name, share in (("not sampled", 0.0), ("sampled", 1.0)):
        async with tracing(TracingSettings(endpoint=_NOBODY, share=share), "perf"):
            figures[name] = least_us(_traced)
    return figures


def main() -> int:
    """Measures and prints; returns the exit status."""
    logging.disable(logging.CRITICAL)  # the exporter says that nobody is there
    for name, us in asyncio.run(_measured()).items():
        print(f"{name:20} {us:8.1f} µs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
