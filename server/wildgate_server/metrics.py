"""What Prometheus is told; names of stages and outcomes are those of the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from wildgate_server.stages import Stage, Timings

__all__ = ["CacheMetrics", "CanaryMetrics", "Metrics", "SourceMetrics"]

_SCORE_BUCKETS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1)
_STAGE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class CanaryMetrics:
    """What a version on trial says of the videos that the serving one looked at too.

    `serving` and `canary` are model versions as in the verdicts, such as `reference/1`.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        both = ["serving", "canary"]
        self._verdicts = Counter(
            "wildgate_canary_verdicts",
            "Videos that both versions answered for, by the action each called for.",
            [*both, "serving_action", "canary_action"],
            registry=registry,
        )
        self._labels = Counter(
            "wildgate_canary_label_differences",
            "Labels that called for another action in one version than in the other.",
            [*both, "label"],
            registry=registry,
        )
        self._scores = Histogram(
            "wildgate_canary_score_difference",
            "Largest difference between the two versions' best scores of a label, for each video.",
            both,
            buckets=_SCORE_BUCKETS,
            registry=registry,
        )
        self._failures = Counter(
            "wildgate_canary_failures",
            "Videos on trial that this version had no answer for, so that nothing could be compared.",
            ["version", "reason"],
            registry=registry,
        )

    def compared(
        self, *, serving: str, canary: str, actions: tuple[str, str], labels: Iterable[str], score_difference: float
    ) -> None:
        """Counts one video; `actions` are the serving version's and the other's."""
        self._verdicts.labels(serving, canary, *(action.lower() for action in actions)).inc()
        for label in labels:
            self._labels.labels(serving, canary, label).inc()
        self._scores.labels(serving, canary).observe(score_difference)

    def failed(self, version: str, reason: str) -> None:
        """Counts one video on trial that `version` had no answer for."""
        self._failures.labels(version, reason.lower()).inc()


class CacheMetrics:
    """What was found in the cache and what was shared."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lookups = Counter(
            "wildgate_cache_lookups",
            "Verdicts looked for, by tier (memory, redis) and outcome (hit, miss, failed, skipped).",
            ["tier", "outcome"],
            registry=registry,
        )
        self._shared = Counter(
            "wildgate_cache_shared",
            "Requests answered with what an equal video's scoring, which was under way, came to.",
            registry=registry,
        )

    def looked_up(self, tier: str, outcome: str) -> None:
        """Counts one look into one tier."""
        self._lookups.labels(tier, outcome).inc()

    def shared(self) -> None:
        """Counts one request that another one's scoring answered."""
        self._shared.inc()


class SourceMetrics:
    """How much of the videos that were sampled had to be read; `kind` is content, file, http, s3 or gs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._read = Counter(
            "wildgate_source_read_bytes", "Bytes read of videos that were sampled.", ["kind"], registry=registry
        )
        self._size = Counter(
            "wildgate_source_file_bytes", "Bytes that these videos' files have.", ["kind"], registry=registry
        )
        self._requests = Counter(
            "wildgate_source_read_requests", "Requests by which they were read.", ["kind"], registry=registry
        )

    def sampled(self, kind: str, *, file_bytes: int, read_bytes: int, read_requests: int) -> None:
        """Counts one video."""
        self._size.labels(kind).inc(file_bytes)
        self._read.labels(kind).inc(read_bytes)
        self._requests.labels(kind).inc(read_requests)


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
            "Time an answered video spent in a stage.",
            ["stage"],
            buckets=_STAGE_BUCKETS_S,
            registry=self.registry,
        )
        for stage in Stage:
            self._stages.labels(stage)
        self.canary = CanaryMetrics(self.registry)
        self.cache = CacheMetrics(self.registry)
        self.source = SourceMetrics(self.registry)

    def answered(self, outcome: str, timings: Timings | None = None) -> None:
        """Counts one video; `outcome` is the action's name or the error's reason, `timings` milliseconds by stage."""
        self._videos.labels(outcome.lower()).inc()
        for stage, duration_ms in (timings or {}).items():
            self._stages.labels(stage).observe(duration_ms / 1e3)

    def gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Adds a gauge that is read when it is scraped."""
        Gauge(name, help_text, registry=self.registry).set_function(read)
