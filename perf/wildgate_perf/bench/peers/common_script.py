"""The common script: OpenCV reads every frame of a file, one per second is kept, and the detector runs on those.

As it stands in many repositories, in a plain loop; with one process per core to be fair. The frames kept are scaled to
the detector's square, since that is what the ONNX file takes.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from wildgate_perf.bench.peers.scorer import Answer, Pixels, Scorer
from wildgate_perf.loops import Ask, Stages


@dataclass(frozen=True)
class CommonScript:
    """A workload that scores files in the load generator's own process."""

    graph: Path
    letterbox_value: int
    videos: tuple[Path, ...]

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Ask]:
        """See `wildgate_perf.workloads.Workload`."""

        async def ask(number: int) -> Stages:
            self.answer(self.videos[number % len(self.videos)])
            return {}

        yield ask

    def answer(self, video: Path) -> Answer:
        """The answer to one file. Raises ValueError where OpenCV reads no frame."""
        scorer = _scorer(self.graph, self.letterbox_value)
        return scorer.detect(*frames_each_second(video, scorer))


_scorer = functools.cache(Scorer)  # kept by the process from loop to loop


def frames_each_second(file: Path, scorer: Scorer) -> tuple[list[Pixels], list[float]]:
    """One frame per second of a video as squares of the detector, and when they are shown. Raises ValueError."""
    import cv2

    cv2.setNumThreads(1)
    video = cv2.VideoCapture(str(file))
    rate = video.get(cv2.CAP_PROP_FPS)
    squares: list[Pixels] = []
    times_s: list[float] = []
    number = 0
    while (read := video.read())[0]:
        if number % max(1, round(rate)) == 0:
            frame = read[1]
            size = scorer.fitted(frame.shape[1], frame.shape[0])
            small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
            squares.append(scorer.centred(cv2.cvtColor(small, cv2.COLOR_BGR2RGB)))
            times_s.append(number / rate)
        number += 1
    video.release()
    if not squares:
        raise ValueError(f"OpenCV reads no frame of {file.name}")
    return squares, times_s
