"""What Prometheus is told; names of stages and outcomes are those of the answers."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from wildgate_server.stages import Stage, Timings

__all__ = ["Metrics"]

_STAGE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Counters and gauges of one gateway, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._videos = Counter(
            "wildgate_videos",
            "Videos answered, by action or by error reason.",
            ["outcome"],
            registry=self.registry,
        )
        self._stages = Histogram(
            "wildgate_stage_seconds",
            "Time a scored video spent in a stage.",
            ["stage"],
            buckets=_STAGE_BUCKETS_S,
            registry=self.registry,
        )
        for stage in Stage:
            self._stages.labels(stage)

    def answered(self, outcome: str, timings: Timings | None = None) -> None:
        """Counts one video; `outcome` is the action's name or the error's reason."""
        self._videos.labels(outcome.lower()).inc()
        for stage, duration_ms in (timings or {}).items():
            self._stages.labels(stage).observe(duration_ms / 1e3)

    def gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Adds a gauge that is read when it is scraped."""
        Gauge(name, help_text, registry=self.registry).set_function(read)
