"""What the gateway tells Prometheus; names of stages and outcomes are those of the answers.

docs/metrics.md lists all that servers tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import Gauge, Histogram

from wildgate_server.drift import Drift
from wildgate_server.server_metrics import ServerMetrics
from wildgate_server.stages import Stage, Timings

__all__ = ["Metrics"]

_SCORE_BUCKETS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1)
_TOP_SCORE_BUCKETS = tuple(step / 20 for step in range(1, 21))
_GAP_BUCKETS_S = (0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 60, 300)
_BATCH_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)


class Metrics(ServerMetrics):
    """Counters and gauges of one gateway, in a registry of its own; `drift` is told of newly scored videos."""

    def __init__(self, drift: Drift | None = None) -> None:
        super().__init__()
        self.drift = drift or Drift()
        self.drift.tell(self)
        self._videos = self._counter(
            "wildgate_videos",
            "Videos answered, by action or error reason, and class of tenant.",
            ["outcome", "priority"],
        )
        stages = self._times("wildgate_stage_seconds", "Time an answered video spent in a stage.", ["stage"])
        self._stages = {stage: stages.labels(stage) for stage in Stage}
        self._labels = self._counter(
            "wildgate_verdict_labels", "Labels in verdicts, by the action each called for.", ["label", "action"]
        )
        self._gaps = Histogram(
            "wildgate_longest_gap_seconds",
            "The longest stretch of an answered video that was not looked at.",
            buckets=_GAP_BUCKETS_S,
            registry=self.registry,
        )
        self._frames = self._counter("wildgate_frames", "Frames of answered videos (looked_at, unsound).", ["kind"])
        self._top_scores = Histogram(
            "wildgate_top_score",
            "The best score of any label in a newly scored video.",
            buckets=_TOP_SCORE_BUCKETS,
            registry=self.registry,
        )
        self._batch_rows = Histogram(
            "wildgate_batch_rows",
            "Clip windows in a question to Triton, by ensemble.",
            ["model"],
            buckets=_BATCH_BUCKETS,
            registry=self.registry,
        )
        self._batches = Gauge(
            "wildgate_batches_in_flight", "Questions that Triton has not answered.", registry=self.registry
        )
        self._triton_failures = self._counter(
            "wildgate_triton_failures", "Questions that failed for Triton's sake, by why.", ["model", "reason"]
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

    def answered(self, outcome: str, timings: Timings | None = None, *, priority: str = "high") -> None:
        """Counts one video of a tenant of this class.

        `outcome` is the action's name or the error's reason, `timings` are milliseconds by stage.
        """
        self._videos.labels(outcome.lower(), priority).inc()
        for stage, duration_ms in (timings or {}).items():
            self._stages[stage].observe(duration_ms / 1e3)

    def judged(self, labels: Iterable[tuple[str, str]], *, gap_s: float, looked_at: int, unsound: int) -> None:
        """Counts what an answered video's verdict says: labels with their actions, and what it rests on."""
        for label, action in labels:
            self._labels.labels(label, action.lower()).inc()
        self._gaps.observe(gap_s)
        self._frames.labels("looked_at").inc(looked_at)
        self._frames.labels("unsound").inc(unsound)

    def scored(self, top_score: float, action: str) -> None:
        """Counts the best score of a newly scored video, whose verdict calls for `action`."""
        self._top_scores.observe(top_score)
        self.drift.add(top_score, action)

    @contextmanager
    def asked(self, model: str, rows: int) -> Iterator[None]:
        """Counts a question to an ensemble, as long as it is not answered."""
        self._batch_rows.labels(model).observe(rows)
        with self._batches.track_inprogress():
            yield

    def triton_failed(self, model: str, reason: str) -> None:
        """Counts a question that failed for Triton's sake; `reason` is the error's."""
        self._triton_failures.labels(model, reason.lower()).inc()

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
