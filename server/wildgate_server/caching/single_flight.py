"""Single-flight: what several callers want at the same time is worked out once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["SingleFlight"]

Result = TypeVar("Result")
Work = Callable[[float], Coroutine[Any, Any, Result]]


@dataclass(eq=False, slots=True)
class _Flight(Generic[Result]):
    task: asyncio.Task[Result]
    work: Work[Result]
    passengers: int = 0


class SingleFlight(Generic[Result]):
    """Runs work by key, each key once at a time; whoever asks while it runs waits for the same result.

    The work belongs to all who wait: a caller that leaves does not end it for the others, the last one does. It runs
    within the deadline of the caller that began it. `personal` are errors that concern only that one: the others
    then begin again.
    """

    def __init__(self, personal: tuple[type[Exception], ...] = ()) -> None:
        self._personal = personal
        self._flights: dict[str, _Flight[Result]] = {}
        self._tasks: set[asyncio.Task[Result]] = set()

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, key: str) -> bool:
        """Whether equal work is under way."""
        return key in self._flights

    async def run(self, key: str, work: Work[Result], deadline: float) -> tuple[Result, bool]:
        """The result of `work(deadline)`, and whether it is the result of another caller's equal work.

        Raises what the work raises. A caller that waits for another's work drops its own and all that hangs on it,
        so that one copy of a video is held however many ask about it.
        """
        while True:
            flight = self._flights.get(key)
            shared = flight is not None and not flight.task.done()
            if flight is None or not shared:
                flight = self._begin(key, work, deadline)
            work = flight.work
            flight.passengers += 1
            try:
                return await asyncio.shield(flight.task), shared
            except self._personal:
                if not shared:
                    raise
            finally:
                flight.passengers -= 1
                if not flight.passengers and not flight.task.done():
                    flight.task.cancel()
                    self._landed(key, flight)  # the next caller must not join what is being cancelled

    async def close(self) -> None:
        """Ends all work and waits until it has ended; its waiters are cancelled."""
        tasks = tuple(self._tasks)
        for task in tasks:
            if not task.cancelling():  # a second time would cut its clearing up short
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: str, work: Work[Result], deadline: float) -> _Flight[Result]:
        task = asyncio.create_task(work(deadline), name="flight")
        flight = self._flights[key] = _Flight(task, work)
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._landed(key, flight))
        return flight

    def _landed(self, key: str, flight: _Flight[Result]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if flight.task.done():
            self._tasks.discard(flight.task)
            if not flight.task.cancelled():
                flight.task.exception()  # nobody may be left to be told
