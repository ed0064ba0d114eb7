"""A load generator in a process of its own: what it costs is told apart from what it measures."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from wildgate_perf.loops import (
    Arrivals,
    Ask,
    LoadPlan,
    Measured,
    Offered,
    Stages,
    alternating_loop,
    closed_loop,
    each_once,
    open_loop,
)
from wildgate_perf.processes import ProcessEnded, Processes
from wildgate_perf.server_parts import keep_freed_memory
from wildgate_perf.workloads import Workload

Result = TypeVar("Result")


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


class LoadGenerator(Processes):
    """A context manager; loops run in its process one after the other. Every loop raises LoadFailed."""

    def __init__(self) -> None:
        super().__init__("load generator")

    def closed(self, workload: Workload, plan: LoadPlan) -> Loaded[Measured]:
        """`closed_loop` over the workload."""
        return self._looped(closed_loop, (workload,), plan)

    def alternating(self, workloads: Sequence[Workload], seconds: float) -> Loaded[list[Measured]]:
        """`alternating_loop` over several workloads."""
        return self._looped(_alternating, workloads, seconds)

    def once(self, workload: Workload, count: int, clients: int) -> Loaded[Measured]:
        """`each_once` over the first `count` questions of the workload."""
        return self._looped(each_once, (workload,), count, clients)

    def open(
        self, workload: Workload, rate_per_s: float, seconds: float, arrivals: Arrivals = "uniform", *, warm_up_s: float
    ) -> Loaded[Offered]:
        """`open_loop` over the workload; failures are named by the start of their text, the gRPC status."""
        return self._looped(_open, (workload,), rate_per_s, seconds, arrivals, warm_up_s)

    def _looped(self, loop: Callable[..., Any], workloads: Sequence[Workload], *plan: Any) -> Loaded[Any]:
        try:
            return self.run(_work, loop, tuple(workloads), plan)[0]
        except ProcessEnded as error:
            raise LoadFailed(str(error)) from error
        except Exception as error:
            raise LoadFailed(f"{type(error).__name__}: {error}") from error


def _work(loop: Callable[..., Awaitable[Any]], workloads: tuple[Workload, ...], plan: tuple[Any, ...]) -> Loaded[Any]:
    gc.disable()  # nothing here makes cycles that matter, and a collection would look like a slow server
    keep_freed_memory()  # every page of a fresh 8 MB message costs a page fault: half of what sending one takes
    return asyncio.run(_loop(loop, workloads, plan))


async def _loop(
    loop: Callable[..., Awaitable[Any]], workloads: tuple[Workload, ...], plan: tuple[Any, ...]
) -> Loaded[Any]:
    answered = 0

    def counting(ask: Ask) -> Ask:
        async def counted(number: int) -> Stages:
            nonlocal answered
            stages = await ask(number)
            answered += 1
            return stages

        return counted

    async with AsyncExitStack() as stack:
        asks = [counting(await stack.enter_async_context(workload.opened())) for workload in workloads]
        cpu, wall = time.process_time(), time.perf_counter()
        result = await loop(*asks, *plan)
        return Loaded(result, answered, time.process_time() - cpu, time.perf_counter() - wall)


async def _alternating(*asks_and_seconds: Any) -> list[Measured]:
    *asks, seconds = asks_and_seconds
    return await alternating_loop(asks, seconds)


async def _open(ask: Ask, rate_per_s: float, seconds: float, arrivals: Arrivals, warm_up_s: float) -> Offered:
    def named(error: Exception) -> str:
        return str(error).partition(":")[0]

    return await open_loop(ask, rate_per_s, seconds, arrivals, warm_up_s=warm_up_s, failure_of=named)
