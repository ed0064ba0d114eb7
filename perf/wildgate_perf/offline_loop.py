"""The machine's own limit: `PlainScorer` in one process for each core, over and over, with no server anywhere."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from wildgate_perf.plain_scoring import PlainScorer
from wildgate_server.allocator import keep_freed_memory

__all__ = ["OfflineFailed", "OfflineLoop", "OfflineRound", "total"]

_STOP_S = 10.0
_ENDED = "a process of the offline loop ended by itself"


class OfflineFailed(Exception):
    """A process of the offline loop could not score; the text says why."""


@dataclass(frozen=True)
class OfflineRound:
    """What one process did, or all of them: videos, videos a second, processor seconds, and those by part."""

    videos: int
    per_s: float
    cpu_s: float
    parts_s: dict[str, float]

    def cpu_ms(self) -> dict[str, float]:
        """Processor milliseconds for each video, by part; `rest` is what belongs to none."""
        parts = {part: seconds * 1e3 / self.videos for part, seconds in self.parts_s.items()}
        return parts | {"rest": self.cpu_s * 1e3 / self.videos - sum(parts.values())}


def total(rounds: Sequence[OfflineRound]) -> OfflineRound:
    """Processes that ran at the same time, as one."""
    parts: defaultdict[str, float] = defaultdict(float)
    for each in rounds:
        for part, seconds in each.parts_s.items():
            parts[part] += seconds
    return OfflineRound(
        sum(each.videos for each in rounds),
        sum(each.per_s for each in rounds),
        sum(each.cpu_s for each in rounds),
        dict(parts),
    )


class OfflineLoop:
    """A context manager: `processes` that wait, and score `sources` whenever told to.

    Sources are anything that `sample_video` takes, and each process has its own copy of them.
    """

    def __init__(self, repository: Path, sources: Sequence[Any], processes: int) -> None:
        context = get_context("spawn")
        pipes = [context.Pipe() for _ in range(processes)]
        self._orders = [ours for ours, _ in pipes]
        self._processes = [
            context.Process(target=_work, args=(theirs, repository, tuple(sources), number), daemon=True)
            for number, (_, theirs) in enumerate(pipes)
        ]

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        self._answers()  # all have loaded their models
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

    def run(self, seconds: float) -> OfflineRound:
        """All processes score for `seconds`, and finish the video they are at. Raises OfflineFailed."""
        for orders in self._orders:
            try:
                orders.send(seconds)
            except OSError:
                raise OfflineFailed(_ENDED) from None
        return total(self._answers())

    def _answers(self) -> list[OfflineRound]:
        answers: list[OfflineRound] = []
        for orders in self._orders:
            try:
                answer = orders.recv()
            except EOFError:
                raise OfflineFailed(_ENDED) from None
            if isinstance(answer, str):
                raise OfflineFailed(answer)
            answers.append(answer)
        return answers


def _work(orders: Connection, repository: Path, sources: tuple[Any, ...], number: int) -> None:
    keep_freed_memory()  # as the server's processes do: the ratio is to be that of the way, not of an allocator
    try:
        scorer = PlainScorer(repository)
        scorer.score(sources[number % len(sources)])
        orders.send(OfflineRound(0, 0.0, 0.0, {}))
        while (seconds := orders.recv()) is not None:
            orders.send(_scored(scorer, sources, number, seconds))
    except Exception as error:
        orders.send(f"{type(error).__name__}: {error}")


def _scored(scorer: PlainScorer, sources: tuple[Any, ...], number: int, seconds: float) -> OfflineRound:
    scorer.cpu_s.clear()
    began, cpu = time.perf_counter(), time.process_time()
    videos, now = 0, began
    while now < began + seconds:
        scorer.score(sources[(number + videos) % len(sources)])
        videos, now = videos + 1, time.perf_counter()
    # To the end of the last video, so that no part of one counts for nothing.
    return OfflineRound(videos, videos / (now - began), time.process_time() - cpu, dict(scorer.cpu_s))
