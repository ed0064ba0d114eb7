"""What Prometheus is told; names of stages and outcomes are those of the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from wildgate_server.stages import Stage, Timings

__all__ = ["Metrics"]

_SCORE_BUCKETS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1)
_STAGE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Counters and gauges of one gateway, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._videos = self._counter("wildgate_videos", "Videos answered, by action or by error reason.", ["outcome"])
        self._stages = Histogram(
            "wildgate_stage_seconds",
            "Time an answered video spent in a stage.",
            ["stage"],
            buckets=_STAGE_BUCKETS_S,
            registry=self.registry,
        )
        for stage in Stage:
            self._stages.labels(stage)

        self._refusals = Histogram(
            "wildgate_refusal_seconds",
            "Time a call took to be refused for want of room, its message unread.",
            buckets=_STAGE_BUCKETS_S,
            registry=self.registry,
        )

        kind = ["kind"]
        self._read_bytes = self._counter("wildgate_source_read_bytes", "Bytes read of videos that were sampled.", kind)
        self._file_bytes = self._counter("wildgate_source_file_bytes", "Bytes that these videos' files have.", kind)
        self._reads = self._counter("wildgate_source_read_requests", "Requests by which they were read.", kind)

        self._looks_again = self._counter(
            "wildgate_looks_again",
            "Videos sampled once more, by why (unsound pictures, doubtful sightings).",
            ["reason"],
        )
        self._block_matches = self._counter(
            "wildgate_block_matches",
            "Matches with blocked videos that called for an action (exact, frames, confirmed, candidate).",
            ["kind"],
        )
        self._lookups = self._counter(
            "wildgate_cache_lookups",
            "Verdicts looked for, by tier (memory, redis) and outcome (hit, miss, failed, skipped).",
            ["tier", "outcome"],
        )
        self._cases = self._counter(
            "wildgate_cases",
            "Answers handed over to enforcement (opened, kept, known, failed), and what became of those that were kept "
            "(delivered, refused).",
            ["outcome"],
        )
        self._shared = self._counter(
            "wildgate_cache_shared",
            "Requests answered with what an equal video's scoring, which was under way, came to.",
        )

        both = ["serving", "canary"]
        self._canary_verdicts = self._counter(
            "wildgate_canary_verdicts",
            "Videos that both versions answered for, by the action each called for.",
            [*both, "serving_action", "canary_action"],
        )
        self._canary_labels = self._counter(
            "wildgate_canary_label_differences",
            "Labels that called for another action in one version than in the other.",
            [*both, "label"],
        )
        self._canary_scores = Histogram(
            "wildgate_canary_score_difference",
            "Largest difference between the two versions' best scores of a label, for each video.",
            both,
            buckets=_SCORE_BUCKETS,
            registry=self.registry,
        )
        self._canary_failures = self._counter(
            "wildgate_canary_failures",
            "Videos on trial that this version had no answer for, so that nothing could be compared.",
            ["version", "reason"],
        )

    def answered(self, outcome: str, timings: Timings | None = None) -> None:
        """Counts one video; `outcome` is the action's name or the error's reason, `timings` milliseconds by stage."""
        self._videos.labels(outcome.lower()).inc()
        for stage, duration_ms in (timings or {}).items():
            self._stages.labels(stage).observe(duration_ms / 1e3)

    def refused(self, seconds: float) -> None:
        """Counts one call that was refused for want of room."""
        self._refusals.observe(seconds)

    def sampled(self, kind: str, *, file_bytes: int, read_bytes: int, read_requests: int) -> None:
        """Counts how much of one video was read to sample it; `kind` is content, file, http, s3 or gs."""
        self._file_bytes.labels(kind).inc(file_bytes)
        self._read_bytes.labels(kind).inc(read_bytes)
        self._reads.labels(kind).inc(read_requests)

    def looked_again(self, reason: str) -> None:
        """Counts one video that was sampled once more; `reason` is unsound or doubtful."""
        self._looks_again.labels(reason).inc()

    def looked_up(self, tier: str, outcome: str) -> None:
        """Counts one look into one tier of the cache."""
        self._lookups.labels(tier, outcome).inc()

    def blocked(self, kind: str) -> None:
        """Counts one match with an entry of the list of blocks; `kind` is exact, frames, confirmed or candidate."""
        self._block_matches.labels(kind.lower()).inc()

    def handed_over(self, outcome: str) -> None:
        """Counts one answer handed over to enforcement, or one kept case that was delivered or refused."""
        self._cases.labels(outcome).inc()

    def shared(self) -> None:
        """Counts one request that another one's scoring answered."""
        self._shared.inc()

    def compared(
        self, *, serving: str, canary: str, actions: tuple[str, str], labels: Iterable[str], score_difference: float
    ) -> None:
        """Counts one video that two versions looked at, given as in the verdicts, such as `reference/1`.

        `actions` are the serving version's and the other's, `labels` those that called for another action in one than
        in the other.
        """
        self._canary_verdicts.labels(serving, canary, *(action.lower() for action in actions)).inc()
        for label in labels:
            self._canary_labels.labels(serving, canary, label).inc()
        self._canary_scores.labels(serving, canary).observe(score_difference)

    def not_compared(self, version: str, reason: str) -> None:
        """Counts one video on trial that `version` had no answer for."""
        self._canary_failures.labels(version, reason.lower()).inc()

    def gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Adds a gauge that is read when it is scraped."""
        Gauge(name, help_text, registry=self.registry).set_function(read)

    def _counter(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(name, help_text, labels, registry=self.registry)
