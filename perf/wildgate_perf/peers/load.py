"""The load generator: a process of its own that asks a running contender, whatever its protocol."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from wildgate_perf.loops import LoadPlan, Measured, Stages, closed_loop
from wildgate_perf.peers.detector import Answer
from wildgate_perf.peers.peer import Asker
from wildgate_perf.peers.peer_setup import PeerFailed

__all__ = ["Load", "Loaded"]

_READY_POLL_S = 0.1
_STOP_S = 10.0


@dataclass(frozen=True)
class Loaded:
    """What a closed loop found. `answered` and `cpu_s` (processor seconds of the generator) count its warm-up too."""

    measured: Measured
    answered: int
    cpu_s: float


class Load:
    """A context manager: a process that asks `asker` about `videos`. All methods raise PeerFailed."""

    def __init__(self, asker: Asker, videos: Sequence[Path]) -> None:
        context = get_context("spawn")
        self._orders, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(theirs, asker, tuple(videos)), name="load generator", daemon=True
        )

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._process.is_alive():
            self._orders.send(None)
            self._process.join(_STOP_S)
        if self._process.is_alive():
            self._process.terminate()
        self._process.join()

    def answered(self, video: Path) -> bool:
        """Whether the peer gives an answer, any answer, to `video` now."""
        return self._ordered("ready", video) is not None

    def answers(self, videos: Sequence[Path]) -> list[Answer]:
        """What the peer answers to `videos`."""
        found: list[Answer] = self._ordered("answers", tuple(videos))
        return found

    def run(self, plan: LoadPlan) -> Loaded:
        """A closed loop over the videos."""
        loaded: Loaded = self._ordered("run", plan)
        return loaded

    def _ordered(self, what: str, argument: Any) -> Any:
        self._orders.send((what, argument))
        try:
            answer = self._orders.recv()
        except EOFError:
            raise PeerFailed(f"the load generator ended by itself, status {self._process.exitcode}") from None
        if isinstance(answer, str):
            raise PeerFailed(answer)
        return answer


def _work(orders: Connection, asker: Asker, videos: tuple[Path, ...]) -> None:
    gc.disable()  # a collection here would look like a slow peer
    questions = [asker.question(video) for video in videos]
    with asyncio.Runner() as runner:
        while (order := orders.recv()) is not None:
            try:
                orders.send(runner.run(_obey(asker, questions, *order)))
            except Exception as error:  # Whatever it is, the run says so.
                orders.send(f"{type(error).__name__}: {error}")


async def _obey(asker: Asker, questions: list[Any], what: str, argument: Any) -> Any:
    async with asker:
        if what == "ready":
            try:
                return await asker.ask(asker.question(argument))
            except PeerFailed:
                await asyncio.sleep(_READY_POLL_S)
                return None
        if what == "answers":
            return [await asker.ask(asker.question(video)) for video in argument]
        return await _run(asker, questions, argument)


async def _run(asker: Asker, questions: list[Any], plan: LoadPlan) -> Loaded:
    answered = 0

    async def ask(number: int) -> Stages:
        nonlocal answered
        await asker.ask(questions[number % len(questions)])
        answered += 1
        return {}

    cpu = time.process_time()
    measured = await closed_loop(ask, plan)
    return Loaded(measured, answered, time.process_time() - cpu)
