"""A version on trial: which videos it is tried on, whose answer counts, and in what it differs from the serving one.

A video on trial goes to both versions. It gets the new version's verdict; where that one fails or is late, the serving
version's, so that no caller pays for the trial.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from time import monotonic
from typing import Any

import structlog

from wildgate_server.errors import InternalError, WildgateError
from wildgate_server.inference.observation import Observation
from wildgate_server.metrics import Metrics
from wildgate_server.policy import Judgement

__all__ = ["Opinion", "answers_of_both", "compare", "on_trial", "reason_of"]

_log = structlog.get_logger()


def on_trial(content_digest: str, share: float) -> bool:
    """Whether a video is among the `share` (0 to 1) that the new version is tried on.

    The digest decides, so the same video is always on the same side, in every gateway.
    """
    digest = content_digest.partition(":")[2]
    return int(digest, 16) < share * float(16 ** len(digest))


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one release sees in a video, and what the policy says to that."""

    observation: Observation
    judgement: Judgement

    @property
    def best_scores(self) -> dict[str, float]:
        """The highest score of each label seen."""
        best: dict[str, float] = {}
        for found in self.observation.detections:
            best[found.label] = max(found.score, best.get(found.label, 0.0))
        return best


async def answers_of_both(
    canary: Coroutine[Any, Any, Observation],
    serving: Coroutine[Any, Any, Observation],
    deadline: float,
    patience_s: float,
) -> tuple[Observation | Exception, Observation | Exception]:
    """Runs both; what each answered or raised, TimeoutError for the one that was not waited for any longer.

    Once the serving version has answered, the one on trial may take as long again, or `patience_s` if that is more.
    Neither is waited for longer than half of the time that is left when the first of them has answered.
    """
    started = monotonic()
    trial, proven = asyncio.create_task(canary, name="canary"), asyncio.create_task(serving, name="serving")
    try:
        await asyncio.wait((trial, proven), return_when=asyncio.FIRST_COMPLETED)
        now = monotonic()
        wait_s: float | None = None
        if _answered(proven) or _answered(trial):
            wait_s = max(deadline - now, 0.0) / 2
        if wait_s is not None and _answered(proven):
            wait_s = min(wait_s, max(patience_s, now - started))
        await asyncio.wait((trial, proven), timeout=wait_s)
    finally:
        for task in (trial, proven):
            task.cancel()
        await asyncio.gather(trial, proven, return_exceptions=True)
    return _outcome(trial), _outcome(proven)


def _answered(task: asyncio.Task[Observation]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _outcome(task: asyncio.Task[Observation]) -> Observation | Exception:
    if task.cancelled():
        return TimeoutError()
    error = task.exception()
    if error is None:
        return task.result()
    if not isinstance(error, Exception):
        raise error
    if not isinstance(error, WildgateError):
        _log.error("observation_failed", exc_info=error)
    return error


def reason_of(error: Exception) -> str:
    """What a failure is called in metrics and in the log: the error's reason, or LATE."""
    if isinstance(error, TimeoutError):
        return "LATE"
    return error.reason if isinstance(error, WildgateError) else InternalError.reason


def compare(canary: Opinion, serving: Opinion, content_digest: str, metrics: Metrics) -> None:
    """Counts what two releases said of one video; a disagreement about what is to be done is logged."""
    new, old = canary.observation.release.model_version, serving.observation.release.model_version
    if new == old:
        return
    new_scores, old_scores = canary.best_scores, serving.best_scores
    new_called = {judged.label: judged.action for judged in canary.judgement.labels}
    old_called = {judged.label: judged.action for judged in serving.judgement.labels}
    metrics.compared(
        serving=old,
        canary=new,
        actions=(serving.judgement.action.name, canary.judgement.action.name),
        labels=[label for label in {*new_called, *old_called} if new_called.get(label) != old_called.get(label)],
        score_difference=max(
            (abs(new_scores.get(label, 0.0) - old_scores.get(label, 0.0)) for label in {*new_scores, *old_scores}),
            default=0.0,
        ),
    )
    if canary.judgement.action is not serving.judgement.action:
        _log.info(
            "canary_disagrees",
            content_digest=content_digest,
            serving=old,
            canary=new,
            serving_action=serving.judgement.action.name,
            canary_action=canary.judgement.action.name,
        )
