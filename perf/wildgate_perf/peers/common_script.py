"""The common script: OpenCV reads every frame of a file, one per second is kept, and the detector runs on those.

As it stands in many repositories, in a plain loop; with one process per core to be fair. The frames kept are scaled to
the detector's square, since that is what the ONNX file takes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wildgate_perf.peers.detector import Answer, Scorer, answer_of, open_detector
from wildgate_perf.peers.keyframes import Pixels, WindowShape, centred, windows_of
from wildgate_perf.peers.peer_setup import PeerFailed
from wildgate_perf.processes import Processes

__all__ = ["CommonScript", "ScriptRound", "frames_each_second", "score_file"]


@dataclass(frozen=True)
class ScriptRound:
    """How many videos were scored, how many that makes per second, and the processor seconds it took."""

    videos: int
    per_s: float
    cpu_s: float


def frames_each_second(file: Path, shape: WindowShape) -> tuple[list[Pixels], list[float]]:
    """One frame per second of a video as squares of the detector, and when they are shown. Raises PeerFailed."""
    import cv2

    video = cv2.VideoCapture(str(file))
    rate = video.get(cv2.CAP_PROP_FPS)
    every = max(1, round(rate))
    squares: list[Pixels] = []
    times: list[float] = []
    number = 0
    while True:
        read, frame = video.read()
        if not read:
            break
        if number % every == 0:
            scale = shape.side / max(frame.shape[:2])
            size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
            small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
            squares.append(centred(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), shape))
            times.append(number / rate)
        number += 1
    video.release()
    if not squares:
        raise PeerFailed(f"OpenCV reads no frame of {file.name}")
    return squares, times


def score_file(file: Path, scorer: Scorer) -> Answer:
    """The answer to one file. Raises PeerFailed."""
    squares, times = frames_each_second(file, scorer.shape)
    return answer_of(scorer.detect(windows_of(squares, scorer.shape)), times)


class CommonScript(Processes):
    """A context manager: `count` processes of the script. Raises PeerFailed and ProcessEnded."""

    def __init__(self, graph: Path, letterbox_value: int, count: int) -> None:
        super().__init__("common script", count)
        self._detector = (graph, letterbox_value)

    def __enter__(self) -> CommonScript:
        super().__enter__()
        self.run(_prepare, *self._detector)
        return self

    def answers(self, files: Sequence[Path]) -> list[Answer]:
        """What the script says of `files`."""
        return self.run(_answers, list(files))[0]

    def score(self, files: Sequence[Path], seconds: float) -> ScriptRound:
        """All processes score for `seconds` and finish the video they are at."""
        rounds = self.run_each(_score, [([*files[place:], *files[:place]], seconds) for place in range(len(self.pids))])
        return ScriptRound(
            sum(each.videos for each in rounds), sum(each.per_s for each in rounds), sum(each.cpu_s for each in rounds)
        )


_scorer: Scorer  # of this process


def _prepare(graph: Path, letterbox_value: int) -> None:
    import cv2

    global _scorer
    cv2.setNumThreads(1)
    _scorer = open_detector(graph, letterbox_value)


def _answers(files: Sequence[Path]) -> list[Answer]:
    return [score_file(file, _scorer) for file in files]


def _score(files: Sequence[Path], seconds: float) -> ScriptRound:
    began, cpu, videos = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began < seconds:
        score_file(files[videos % len(files)], _scorer)
        videos += 1
    # To the end of the last video: half a video counts for nothing, nor does its time.
    return ScriptRound(videos, videos / (time.perf_counter() - began), time.process_time() - cpu)
