"""What is asked of Triton, counted and traced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wildgate_server.errors import BackendUnavailable, DeadlineExceeded
from wildgate_server.metrics import Metrics
from wildgate_server.tracing import spans_of_batch
from wildgate_server.triton.client import ClipRow, DetectionBatch, TritonClient

__all__ = ["Questions"]


@dataclass(frozen=True, slots=True)
class Questions:
    """Asks `triton`, and tells `metrics` and the trace of the request."""

    triton: TritonClient
    metrics: Metrics

    async def detect(self, ensemble: str, rows: Sequence[ClipRow], timeout_s: float) -> DetectionBatch:
        """As `TritonClient.detect`."""
        traces = [row.trace for row in rows]
        with self.metrics.asked(ensemble, len(rows)), spans_of_batch("infer", traces, model=ensemble, rows=len(rows)):
            try:
                return await self.triton.detect(ensemble, rows, timeout_s)
            except (BackendUnavailable, DeadlineExceeded) as error:
                self.metrics.triton_failed(ensemble, error.reason)
                raise
