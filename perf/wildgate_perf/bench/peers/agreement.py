"""Whether a contender answers what it should: the scores of frames and labels, against a full decode.

Boxes are not compared: callers of wildgate get them in the displayed frame, those of peers in the square, and where
scores agree in every frame and label the same objects were seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from wildgate_perf.bench.peers.scorer import LEAST_SCORE, Answer, Scorer
from wildgate_perf.bench.phase import PhaseFailed

_SAME_MOMENT_S = 0.005  # times are rationals, rounded differently on different ways


def reference(video: Path, scorer: Scorer) -> Answer:
    """The answer for the keyframes of `video`, taken from a decode of all its frames, nothing skipped."""
    return scorer.detect(*scorer.keyframes(video.read_bytes(), skip_frame="DEFAULT"))


def difference(expected: Answer, answer: Answer) -> float:
    """The largest difference between the best scores of any label in any frame of `expected`.

    What was not detected scores the least that is reported. `answer` may look at more frames. Raises PhaseFailed when
    it did not look at one of `expected`.
    """
    wanted, found = _best_scores(expected), _best_scores(answer)
    largest = 0.0
    for time_s, scores in wanted.items():
        near = min(found, key=lambda other: abs(other - time_s), default=float("inf"))
        if abs(near - time_s) > _SAME_MOMENT_S:
            raise PhaseFailed(f"no answer for the frame at {time_s:.3f} s")
        for label in {*scores, *found[near]}:
            gap = abs(scores.get(label, LEAST_SCORE) - found[near].get(label, LEAST_SCORE))
            largest = max(largest, gap)
    return largest


def check(expected: Mapping[Path, Answer], answer: Callable[[Path], Answer], tolerance: float) -> float:
    """The largest difference over all videos. Raises PhaseFailed when it is above `tolerance`, naming the video."""
    largest = 0.0
    for video, wanted in expected.items():
        gap = difference(wanted, answer(video))
        if gap > tolerance:
            raise PhaseFailed(f"{video.name}: a score is {gap:.3f} off, more than the tolerance of {tolerance:g}")
        largest = max(largest, gap)
    return largest


def _best_scores(answer: Answer) -> dict[float, dict[int, float]]:
    scores: dict[float, dict[int, float]] = {time_s: {} for time_s in answer["times_s"]}
    for frame, *_, score, label in answer["detections"]:
        best = scores[answer["times_s"][int(frame)]]
        best[int(label)] = max(score, best.get(int(label), LEAST_SCORE))
    return scores
