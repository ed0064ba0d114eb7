"""The common script: OpenCV reads every frame of a file, one per second is kept, and the detector runs on those.

As it stands in many repositories, in a plain loop; with one process per core to be fair. The frames kept are scaled to
the detector's square, since that is what the ONNX file takes.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from wildgate_perf.bench.peers.detector import Answer, answer_of, open_detector
from wildgate_perf.bench.peers.keyframes import Pixels, WindowShape, centred, windows_of
from wildgate_perf.bench.peers.peer_setup import PeerFailed


class CommonScript:
    """Scores files; for a `ScoringLoop`, which counts its processor time as a whole."""

    def __init__(self, graph: Path, letterbox_value: int) -> None:
        import cv2

        cv2.setNumThreads(1)
        self._scorer = open_detector(graph, letterbox_value)
        self.cpu_s: defaultdict[str, float] = defaultdict(float)

    def score(self, source: Path) -> Answer:
        """The answer to one file. Raises PeerFailed."""
        squares, times = frames_each_second(source, self._scorer.shape)
        return answer_of(self._scorer.detect(windows_of(squares, self._scorer.shape)), times)


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
