"""Looking at files and frames without a server, to choose thresholds and to measure the detector alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from wildgate_build.check.runners import in_windows
from wildgate_build.onnx_session import open_session
from wildgate_detector.labels import LABELS
from wildgate_detector.scenes import letterboxed
from wildgate_detector.surfaces import Picture
from wildgate_server.policy import Judgement, Policy, Sighting, View

AT_ONCE: Final = 8
"""Frames that a graph gets at once which takes any number."""
NEAR_S: Final = 0.5
NEAR_GAP_S: Final = 0.25
"""A second look: frames up to so far from a sighting, and so far apart."""


def frames_of(path: Path, gap_s: float = 2.0, near: Sequence[float] = ()) -> list[tuple[float, Picture]]:
    """Decode a file and return frames at most about `gap_s` apart, upright, each with its time in seconds.

    Near the times of `near` they are closer to each other, as in a second look.

    Raises:
        av.error.FFmpegError: the file is not a video that can be decoded.
    """
    chosen: list[tuple[float, Picture]] = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            time_s = float(frame.time or 0.0)
            is_near = any(abs(time_s - sighting_s) <= NEAR_S for sighting_s in near)
            due = not chosen or time_s - chosen[-1][0] >= (NEAR_GAP_S if is_near else gap_s) - 1e-3
            if due:
                turns = (frame.rotation % 360) // 90
                picture = np.rot90(frame.to_ndarray(format="rgb24"), turns)
                chosen.append((time_s, np.ascontiguousarray(picture)))
    return chosen


class Detector:
    """A standard detector graph in ONNX Runtime. Raises CannotRunError."""

    def __init__(self, model: Path, threads: int = 1) -> None:
        self.session = open_session(model, threads)
        _, frames, self.side = self.session.get_inputs()[0].shape[:3]
        self.window = frames if isinstance(frames, int) else None

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Detect in letterboxed frames [n, side, side, 3]; returns [n, K, 6]."""
        if self.window:
            windows = list(in_windows(frames, self.window))
        else:
            windows = [frames[first : first + AT_ONCE] for first in range(0, len(frames), AT_ONCE)]
        rows = [self.session.run(None, {"FRAMES": window[None]})[0][0] for window in windows]
        detections: NDArray[np.float32] = np.concatenate(rows)[: len(frames)].astype(np.float32)
        return detections


def best_scores(detections: NDArray[np.float32], labels: Sequence[str] = LABELS) -> list[dict[str, float]]:
    """The best score of each label in each frame, from detections [n, K, 6]."""
    result: list[dict[str, float]] = []
    for frame in detections:
        best: dict[str, float] = {}
        for row in frame:
            if row[4] > 0:
                label = labels[int(row[5])]
                best[label] = max(best.get(label, 0.0), float(row[4]))
        result.append(best)
    return result


class OfflineScorer:
    """Scores files with a detector and a policy in this process, no server: to compare detectors.

    It looks at a frame every 2 s and a second time around what it saw, as the server does, but decodes all frames to
    get there, and counts no seconds for a frame by itself.
    """

    def __init__(self, detector: Detector, policy: Policy) -> None:
        self._detector, self._policy = detector, policy

    def __call__(self, path: Path) -> set[str]:
        """The labels that call for REVIEW or BLOCK in the video at `path`.

        Raises av.error.FFmpegError when it is not a video that can be decoded.
        """
        judgement = self._judge(path)
        if judgement.doubts:
            judgement = self._judge(path, [doubt.time_s for doubt in judgement.doubts])
        return {label.label for label in judgement.labels}

    def _judge(self, path: Path, near: Sequence[float] = ()) -> Judgement:
        times_s, scores = look(self._detector, path, near=near)
        sightings = [
            Sighting(label, score, time_s)
            for time_s, best in zip(times_s, scores, strict=True)
            for label, score in best.items()
        ]
        return self._policy.judge(sightings, View.of_frames(times_s, [0.0] * len(times_s)))


def look(
    detector: Detector, path: Path, gap_s: float = 2.0, near: Sequence[float] = ()
) -> tuple[list[float], list[dict[str, float]]]:
    """The times in seconds of the frames looked at in the video at `path`, and each label's best score in each.

    Raises av.error.FFmpegError when it is not a video that can be decoded.
    """
    chosen = frames_of(path, gap_s, near)
    squares = np.stack([letterboxed(picture, detector.side)[0] for _, picture in chosen])
    return [time_s for time_s, _ in chosen], best_scores(detector(squares))
