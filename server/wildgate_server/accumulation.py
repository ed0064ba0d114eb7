"""What the looked-at frames of a track say together: evidence that adds up, and the probability that it stands for.

A frame's evidence for a label is how far its score lies above a reference, in log-odds; a score below it takes evidence
away. It adds up over the stretch of frames where the sum is largest (Page 1954, Biometrika 41), so that a steady 0.4
counts for more than a single 0.6, and what is shown for a while counts in a long video, too. Frames close in time tell
less than frames apart: they show nearly the same picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

from wildgate_server.persistence import ShownFrame

__all__ = ["Accumulated", "accumulate", "probability"]

# Scores are no surer than this, whatever a detector says of a single frame.
_LEAST_SCORE, _MOST_SCORE = 0.02, 0.98


@dataclass(frozen=True, slots=True)
class Accumulated:
    """The largest sum of evidence, in natural log-odds, and the frames `first` to `last` that make it."""

    evidence: float
    first: int
    last: int


def accumulate(
    frames: Sequence[ShownFrame], scores: Sequence[float], reference: float, apart_s: float
) -> Accumulated | None:
    """What `frames` (ascending), each with a label's score, say together; None where no score reaches `reference`.

    A frame counts in full when it is at least `apart_s` from the one before, else for the share of that.
    """
    best: Accumulated | None = None
    total, first = 0.0, 0
    for at, (frame, score) in enumerate(zip(frames, scores, strict=True)):
        above = _log_odds(score) - _log_odds(reference)
        if total <= 0.0:
            total, first = max(above, 0.0), at  # a stretch begins with its first frame in full
        else:
            total += above * min((frame.time_s - frames[at - 1].time_s) / apart_s, 1.0)
        if score >= reference and (best is None or total > best.evidence):
            best = Accumulated(total, first, at)
    return best


def probability(evidence: float, bias: float, weight: float) -> float:
    """The logistic curve of `evidence`: 1 / (1 + exp(-(bias + weight * evidence)))."""
    return 1.0 / (1.0 + exp(-max(-700.0, min(bias + weight * evidence, 700.0))))


def _log_odds(share: float) -> float:
    bounded = min(max(share, _LEAST_SCORE), _MOST_SCORE)
    return log(bounded / (1.0 - bounded))
