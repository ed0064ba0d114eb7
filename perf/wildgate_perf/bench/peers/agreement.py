"""Whether a contender answers what it should: the scores of frames and labels, against a full decode.

Boxes are not compared: callers of wildgate get them in the displayed frame, those of peers in the square, and where
scores agree in every frame and label the same objects were seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import av
from av.video.reformatter import VideoReformatter

from wildgate_perf.bench.peers.detector import LEAST_SCORE, Answer, Scorer, answer_of
from wildgate_perf.bench.peers.keyframes import letterboxed, windows_of
from wildgate_perf.bench.peers.peer_setup import PeerFailed

_SAME_MOMENT_S = 0.005  # times are rationals, rounded differently on different ways


def reference(video: Path, scorer: Scorer) -> Answer:
    """The answer for the keyframes of `video`, taken from a decode of all its frames, nothing skipped."""
    squares, times = [], []
    reformatter = VideoReformatter()
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            if frame.key_frame:
                squares.append(letterboxed(frame, scorer.shape, reformatter))
                times.append(float(frame.time or 0.0))
    return answer_of(scorer.detect(windows_of(squares, scorer.shape)), times)


def difference(expected: Answer, answer: Answer) -> float:
    """The largest difference between the best scores of any label in any frame of `expected`.

    What was not detected scores the least that is reported. `answer` may look at more frames. Raises PeerFailed when it
    did not look at one of `expected`.
    """
    wanted, found = _best_scores(expected), _best_scores(answer)
    largest = 0.0
    for time_s, scores in wanted.items():
        near = min(found, key=lambda other: abs(other - time_s), default=float("inf"))
        if abs(near - time_s) > _SAME_MOMENT_S:
            raise PeerFailed(f"no answer for the frame at {time_s:.3f} s")
        for label in {*scores, *found[near]}:
            gap = abs(scores.get(label, LEAST_SCORE) - found[near].get(label, LEAST_SCORE))
            largest = max(largest, gap)
    return largest


def check(expected: Mapping[Path, Answer], answers: Sequence[Answer], tolerance: float) -> float:
    """The largest difference over all videos. Raises PeerFailed when it is above `tolerance`, naming the video."""
    largest = 0.0
    for (video, wanted), answer in zip(expected.items(), answers, strict=True):
        try:
            gap = difference(wanted, answer)
        except PeerFailed as error:
            raise PeerFailed(f"{video.name}: {error}") from error
        if gap > tolerance:
            raise PeerFailed(f"{video.name}: a score is {gap:.3f} off, more than the tolerance of {tolerance:g}")
        largest = max(largest, gap)
    return largest


def _best_scores(answer: Answer) -> dict[float, dict[int, float]]:
    scores: dict[float, dict[int, float]] = {time_s: {} for time_s in answer["times_s"]}
    for frame, *_, score, label in answer["detections"]:
        best = scores[answer["times_s"][int(frame)]]
        best[int(label)] = max(score, best.get(int(label), LEAST_SCORE))
    return scores
