"""Processes of their own that do jobs, one after the other, for as long as something is measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from types import TracebackType
from typing import Any, Self, TypeVar

Result = TypeVar("Result")


class ProcessEnded(Exception):
    """A process ended by itself; the text says which."""


class Processes:
    """A context manager: `count` spawned processes, each of which keeps its modules' state from job to job."""

    def __init__(self, name: str, count: int = 1) -> None:
        self._name = name
        # One pool per process: of a larger one, nobody knows which process a job goes to.
        self._pools = [ProcessPoolExecutor(1, get_context("spawn")) for _ in range(count)]
        self.pids: list[int] = []

    def __enter__(self) -> Self:
        self.pids = self.run(os.getpid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in self._pools:
            if error is not None:  # may be at a long job that nobody waits for any more
                for process in pool._processes.values():
                    process.terminate()
            pool.shutdown(cancel_futures=True)

    def run(self, job: Callable[..., Result], *arguments: Any) -> list[Result]:
        """What `job` returns in every process, all at work at the same time.

        Raises whatever the job raises, and ProcessEnded.
        """
        return self.run_each(job, [arguments] * len(self._pools))

    def run_each(self, job: Callable[..., Result], arguments: Sequence[Sequence[Any]]) -> list[Result]:
        """The same, with arguments of its own for each process."""
        try:
            futures = [pool.submit(job, *each) for pool, each in zip(self._pools, arguments, strict=True)]
            return [future.result() for future in futures]
        except BrokenProcessPool:
            raise ProcessEnded(f"a process of the {self._name} ended by itself") from None
