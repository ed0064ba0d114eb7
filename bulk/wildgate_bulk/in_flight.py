"""As many requests at once as the server takes: found by asking for more until it refuses some.

Additive increase, multiplicative decrease, as TCP finds the width of its path (D. Chiu, R. Jain, "Analysis of the
Increase and Decrease Algorithms for Congestion Avoidance in Computer Networks", 1989): several that do so share a
server evenly, without knowing of each other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

__all__ = ["InFlight"]

_FIRST, _SHRINK = 4.0, 0.7


class InFlight:
    """Places for requests, at most `ceiling`; to be used in one event loop."""

    def __init__(self, ceiling: int, now: Callable[[], float] = time.monotonic) -> None:
        self._ceiling, self._now = float(ceiling), now
        self._limit, self._taken, self._shrunk_s = min(_FIRST, self._ceiling), 0, now()
        self._changed = asyncio.Condition()

    @property
    def limit(self) -> int:
        """How many there may be at present."""
        return int(self._limit)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[float]:
        """Waits for a place; yields when the request begins, for `refused`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._taken < self.limit)
            self._taken += 1
        try:
            yield self._now()
        finally:
            self._taken -= 1
            async with self._changed:
                self._changed.notify(max(0, self.limit - self._taken))

    def answered(self) -> None:
        """The server did a request's work: one more place after each round of all of them."""
        self._limit = min(self._ceiling, self._limit + 1 / self._limit)

    def refused(self, began_s: float) -> None:
        """The server was full: fewer places, once for all requests that were under way at that time."""
        if began_s > self._shrunk_s:
            self._limit = max(1.0, self._limit * _SHRINK)
            self._shrunk_s = self._now()
