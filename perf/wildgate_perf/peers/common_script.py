"""The common script: OpenCV reads every frame of a file, one a second is kept, and the detector runs on those.

As it stands in many repositories, in a plain loop; with one process per core to be fair. The frames kept are scaled to
the detector's square, since that is what the ONNX file takes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from wildgate_perf.peers.detector import Answer, Scorer, answer_of, open_detector
from wildgate_perf.peers.keyframes import Pixels, WindowShape, centred, windows_of
from wildgate_perf.peers.peer_setup import PeerFailed

__all__ = ["CommonScript", "ScriptRound", "frames_each_second", "score_file"]

_STOP_S = 10.0


@dataclass(frozen=True)
class ScriptRound:
    """How many videos were scored, how many that makes a second, and the processor seconds it took."""

    videos: int
    per_s: float
    cpu_s: float


def frames_each_second(file: Path, shape: WindowShape) -> tuple[list[Pixels], list[float]]:
    """One frame a second of a video as squares of the detector, and when they are shown. Raises PeerFailed."""
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


class CommonScript:
    """A context manager: `processes` of the script. All methods raise PeerFailed."""

    def __init__(self, graph: Path, letterbox_value: int, processes: int) -> None:
        context = get_context("spawn")
        pipes = [context.Pipe() for _ in range(processes)]
        self._orders = [ours for ours, _ in pipes]
        self._processes = [
            context.Process(target=_work, args=(theirs, graph, letterbox_value), daemon=True) for _, theirs in pipes
        ]

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process, orders in zip(self._processes, self._orders, strict=True):
            if error is None and process.is_alive():
                orders.send(None)
                process.join(_STOP_S)
            if process.is_alive():
                process.terminate()
            process.join()

    def answers(self, files: Sequence[Path]) -> list[Answer]:
        """What the script says of `files`."""
        self._orders[0].send(("answers", list(files), 0.0))
        found: list[Answer] = _received(self._orders[0])
        return found

    def run(self, files: Sequence[Path], seconds: float) -> ScriptRound:
        """All processes score for `seconds` and finish the video they are at."""
        for number, orders in enumerate(self._orders):
            orders.send(("run", [*files[number:], *files[:number]], seconds))
        rounds: list[ScriptRound] = [_received(orders) for orders in self._orders]
        return ScriptRound(
            sum(each.videos for each in rounds), sum(each.per_s for each in rounds), sum(each.cpu_s for each in rounds)
        )


def _received(orders: Connection) -> Any:
    try:
        answer = orders.recv()
    except EOFError:
        raise PeerFailed("a process of the script ended by itself") from None
    if isinstance(answer, str):
        raise PeerFailed(answer)
    return answer


def _work(orders: Connection, graph: Path, letterbox_value: int) -> None:
    try:
        import cv2

        cv2.setNumThreads(1)
        scorer = open_detector(graph, letterbox_value)
        while (order := orders.recv()) is not None:
            what, files, seconds = order
            orders.send(_scored(files, scorer, seconds) if what == "run" else [score_file(f, scorer) for f in files])
    except Exception as error:  # Whatever it is, the run says so.
        orders.send(f"{type(error).__name__}: {error}")


def _scored(files: Sequence[Path], scorer: Scorer, seconds: float) -> ScriptRound:
    began, cpu, videos = time.perf_counter(), time.process_time(), 0
    while (took := time.perf_counter() - began) < seconds:
        score_file(files[videos % len(files)], scorer)
        videos += 1
    # To the end of the last video: half a video counts for nothing, nor does its time.
    took = time.perf_counter() - began
    return ScriptRound(videos, videos / took, time.process_time() - cpu)
