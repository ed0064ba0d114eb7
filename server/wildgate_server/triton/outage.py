"""Since when, and for want of what, the Triton behind the gateway cannot be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from wildgate_server.errors import BackendUnavailable

__all__ = ["Outage"]

_PATIENCE_S = 30.0  # longer than a restart takes; whoever comes later is told at once


class Outage:
    """Holds while anything that was begun has not ended; `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._missing: set[str] = set()
        self._began_s = 0.0
        self._over = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self._missing)

    def begin(self, what: str) -> None:
        """`what` is missing from now on."""
        if not self._missing:
            self._began_s = self._clock()
            self._over.clear()
        self._missing.add(what)

    def end(self, what: str) -> None:
        """`what` is there again."""
        self._missing.discard(what)
        if not self._missing:
            self._over.set()

    async def over(self, timeout_s: float) -> None:
        """Waits for the end; raises BackendUnavailable when it has lasted for 30 s, or does not come in time."""
        if not self._missing:
            return
        patience_s = self._began_s + _PATIENCE_S - self._clock()
        try:
            async with asyncio.timeout(min(patience_s, timeout_s)):
                await self._over.wait()
        except TimeoutError:
            away = f"{', '.join(sorted(self._missing))}, for {self._clock() - self._began_s:.0f} s"
            raise BackendUnavailable(f"the detector is away ({away})", retry_after_s=1.0) from None
