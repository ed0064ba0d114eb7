"""Load generators in processes of their own: what they cost is told apart from what they measure."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from types import TracebackType
from typing import Any, Self

from wildgate_perf.loops import Arrivals, LoadPlan, Measured, Stages, closed_loop, open_loop, together
from wildgate_perf.server_parts import keep_freed_memory
from wildgate_perf.workloads import Workload


class LoadFailed(Exception):
    """The load generator could not do what it was told; the text says why."""


class LoadGenerator:
    """A context manager: `count` spawned processes that run loops, all at the same time, one loop after the other.

    Every loop raises LoadFailed.
    """

    def __init__(self, count: int = 1) -> None:
        # One pool per process: of a larger one, nobody knows which process a job goes to.
        self._pools = [ProcessPoolExecutor(1, get_context("spawn")) for _ in range(count)]
        self.pids: list[int] = []

    def __enter__(self) -> Self:
        self.pids = [pool.submit(os.getpid).result() for pool in self._pools]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in self._pools:
            if error is not None:  # may be at a long job that nobody waits for any more
                for process in pool._processes.values():
                    process.terminate()
            pool.shutdown(cancel_futures=True)

    def closed(self, workload: Workload, plan: LoadPlan) -> Measured:
        """`closed_loop` over the workload, with the plan's clients in each process."""
        return self._run(closed_loop, workload, plan)

    def open(
        self, workload: Workload, rate_per_s: float, seconds: float, arrivals: Arrivals = "uniform", *, warm_up_s: float
    ) -> Measured:
        """`open_loop` over the workload."""
        return self._run(open_loop, workload, rate_per_s, seconds, arrivals, warm_up_s)

    def _run(self, loop: Callable[..., Awaitable[Measured]], workload: Workload, *plan: Any) -> Measured:
        try:
            # Each process begins with another request, so that not all work on the same video.
            jobs = [pool.submit(_work, first, loop, workload, plan) for first, pool in enumerate(self._pools)]
            return together([job.result() for job in jobs])
        except BrokenProcessPool:
            raise LoadFailed("a process of the load generator ended by itself") from None
        except Exception as error:
            raise LoadFailed(f"{type(error).__name__}: {error}") from error


def _work(first: int, loop: Callable[..., Awaitable[Measured]], workload: Workload, plan: tuple[Any, ...]) -> Measured:
    gc.disable()  # nothing here makes cycles that matter, and a collection would look like a slow server
    keep_freed_memory()  # every page of a fresh 8 MB message costs a page fault: half of what sending one takes
    return asyncio.run(_measured(first, loop, workload, plan))


async def _measured(
    first: int, loop: Callable[..., Awaitable[Measured]], workload: Workload, plan: tuple[Any, ...]
) -> Measured:
    async with workload.opened() as ask:

        async def asked(number: int) -> Stages:
            return await ask(first + number)

        cpu, wall = time.process_time(), time.perf_counter()
        measured = await loop(asked, *plan)
        return replace(measured, cpu_s=time.process_time() - cpu, wall_s=time.perf_counter() - wall)
