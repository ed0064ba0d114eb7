"""A load generator in a process of its own: what it costs is told apart from what it measures."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import grpc

from wildgate_client import ClientOptions
from wildgate_perf.loops import (
    Arrivals,
    LoadPlan,
    Measured,
    Offered,
    Stages,
    alternating_loop,
    closed_loop,
    each_once,
    open_loop,
)
from wildgate_perf.plain_scoring import sampling_arguments
from wildgate_perf.questions import SCORE, Questions, cost_nothing, triton_request
from wildgate_proto.v1 import scoring_pb2
from wildgate_server.allocator import keep_freed_memory
from wildgate_server.sampling.pool import SamplingPool
from wildgate_server.sampling.sampling_settings import SamplingSettings
from wildgate_server.source.local_file import VideoFile

__all__ = ["LoadFailed", "LoadProcess", "Loaded"]

Result = TypeVar("Result")
Ask = Callable[[int], Awaitable[Stages]]

_CONNECT_S = 10.0
_STOP_S = 10.0


class LoadFailed(Exception):
    """The load generator could not do what it was told; the text says why."""


@dataclass(frozen=True)
class Loaded(Generic[Result]):
    """What a loop found, and what it cost: processor and wall seconds of the generator, answers in all.

    `answered` counts every answer, those of the warm-up too: processor time of a server is to be divided by it.
    """

    result: Result
    answered: int
    cpu_s: float
    wall_s: float

    @property
    def core_share(self) -> float:
        """How much of one core the generator took."""
        return self.cpu_s / self.wall_s


class LoadProcess:
    """A context manager; loops run in its process one after the other. Every method raises LoadFailed."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self._orders, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,), name="load generator", daemon=True)

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

    @property
    def pid(self) -> int | None:
        """The generator's process; None before the context begins."""
        return self._process.pid

    def closed(self, questions: Questions, plan: LoadPlan) -> Loaded[Measured]:
        """`closed_loop` over the questions."""
        return self._ordered("closed", (questions,), plan)

    def alternating(self, questions: Sequence[Questions], seconds: float) -> Loaded[list[Measured]]:
        """`alternating_loop` over several kinds of questions."""
        return self._ordered("alternating", tuple(questions), seconds)

    def once(self, questions: Questions, askers: int) -> Loaded[Measured]:
        """`each_once` over the questions."""
        return self._ordered("once", (questions,), (len(questions.requests), askers))

    def open(
        self,
        questions: Questions,
        rate_per_s: float,
        seconds: float,
        arrivals: Arrivals = "uniform",
        *,
        warm_up_s: float = 0.0,
    ) -> Loaded[Offered]:
        """`open_loop` over the questions; failures are called by their gRPC status."""
        return self._ordered("open", (questions,), (rate_per_s, seconds, arrivals, warm_up_s))

    def _ordered(self, loop: str, questions: tuple[Questions, ...], plan: Any) -> Loaded[Any]:
        try:
            self._orders.send((loop, questions, plan))
            answer = self._orders.recv()
        except (EOFError, OSError):
            self._process.join(_STOP_S)
            raise LoadFailed(f"the load generator ended by itself, status {self._process.exitcode}") from None
        if isinstance(answer, str):
            raise LoadFailed(answer)
        loaded: Loaded[Any] = answer
        return loaded


class AnswerFailed(Exception):
    """An answer that does not count; the text is what it is called."""


class Asker:
    """Asks `questions` over one channel, and counts the answers."""

    def __init__(self, channel: grpc.aio.Channel, questions: Questions) -> None:
        self._questions = questions
        self._scores = questions.method == SCORE
        self._call: Any = channel.unary_unary(
            questions.method,
            response_deserializer=scoring_pb2.ScoreResponse.FromString if self._scores else None,
        )
        self.answered = 0

    async def __call__(self, number: int) -> Stages:
        """The stage times of an answer, in milliseconds. Raises AnswerFailed, called by the gRPC status."""
        requests = self._questions.requests
        try:
            answer = await self._call(requests[number % len(requests)], timeout=self._questions.deadline_s)
        except grpc.aio.AioRpcError as error:
            raise AnswerFailed(f"{error.code().name}: {error.details()}") from None
        if not self._scores:
            self.answered += 1
            return {}
        cached = cost_nothing(answer.verdict)
        if cached != self._questions.cached:
            where = "came" if cached else "did not come"
            raise AnswerFailed(
                f"CACHED: the verdict {where} from the cache or another's scoring, which measures something else"
            )
        self.answered += 1
        return {timing.stage: timing.duration_ms for timing in answer.verdict.timings}


class SamplingAsker:
    """Samples each video by itself, as a gateway does and with as many workers, and asks Triton for the clips."""

    def __init__(self, channel: grpc.aio.Channel, questions: Questions, sampling: SamplingPool) -> None:
        self._questions = questions
        self._sampling = sampling
        self._call: Any = channel.unary_unary(questions.method)
        self.answered = 0

    async def __call__(self, number: int) -> Stages:
        """No stage times. Raises AnswerFailed, called by the gRPC status, and what sampling raises."""
        files = self._questions.files
        video = await self._sampling.sample(VideoFile(files[number % len(files)]))
        for window in video.windows:
            request = triton_request((window.clip, window.frame_index, video.rotation))
            try:
                await self._call(request, timeout=self._questions.deadline_s)
            except grpc.aio.AioRpcError as error:
                raise AnswerFailed(f"{error.code().name}: {error.details()}") from None
        self.answered += 1
        return {}


def _work(orders: Connection) -> None:
    gc.disable()  # Nothing here makes cycles that matter, and a collection would look like a slow server.
    keep_freed_memory()  # every page of a fresh 8 MB message costs a page fault: half of what sending one takes
    with asyncio.Runner() as runner:
        while (order := orders.recv()) is not None:
            try:
                orders.send(runner.run(_run(*order)))
            except Exception as error:
                orders.send(f"{type(error).__name__}: {error}")


async def _run(loop: str, questions: tuple[Questions, ...], plan: Any) -> Loaded[Any]:
    async with AsyncExitStack() as stack:
        askers: list[Asker | SamplingAsker] = []
        for each in questions:
            channel = grpc.aio.insecure_channel(each.target, ClientOptions().channel_options())
            await stack.enter_async_context(channel)
            async with asyncio.timeout(_CONNECT_S):
                await channel.channel_ready()
            if each.files:
                askers.append(SamplingAsker(channel, each, await stack.enter_async_context(_sampling(each.repository))))
            else:
                askers.append(Asker(channel, each))
        cpu, wall = time.process_time(), time.perf_counter()
        result = await _looped(loop, askers, plan)
        return Loaded(
            result,
            sum(asker.answered for asker in askers),
            time.process_time() - cpu,
            time.perf_counter() - wall,
        )


@asynccontextmanager
async def _sampling(repository: Path) -> AsyncIterator[SamplingPool]:
    pool = SamplingPool(SamplingSettings(), *sampling_arguments(repository))
    try:
        await pool.warm_up()
        yield pool
    finally:
        await asyncio.to_thread(pool.close)


async def _looped(loop: str, askers: Sequence[Asker | SamplingAsker], plan: Any) -> Any:
    if loop == "closed":
        return await closed_loop(askers[0], plan)
    if loop == "alternating":
        return await alternating_loop(askers, plan)
    if loop == "once":
        return await each_once(askers[0], *plan)
    rate_per_s, seconds, arrivals, warm_up_s = plan
    return await open_loop(
        askers[0],
        rate_per_s,
        seconds,
        arrivals,
        warm_up_s=warm_up_s,
        failure_of=lambda error: str(error).partition(":")[0],
    )
