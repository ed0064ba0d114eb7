"""Which origin's videos are fetched next, where others wait: slow origins do not hold all fetchers."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from time import monotonic

from cachetools import LRUCache

__all__ = ["Origins"]

_QUICK_S = 1.5  # what a fetch takes at most of an origin that is known to be quick; usual ones take tens of ms
_REMEMBERED = 4096


class Origins:
    """Turns for `places` fetchers, first come, first served, but for what an origin may hold.

    An origin is known to be quick when its last fetch was. All those together that are not have half of the places, and
    each single origin has three quarters at most, so that what drips leaves room for the others.
    """

    def __init__(self, places: int, clock: Callable[[], float] = monotonic) -> None:
        self._places = places
        self._of_unknown = max(1, places // 2)
        self._of_one = max(1, places * 3 // 4)
        self._clock = clock
        self._quick: LRUCache[str, bool] = LRUCache(_REMEMBERED)
        self._held: Counter[str] = Counter()
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()

    async def turn(self, origin: str) -> Callable[[], None]:
        """Waits for a place for a fetch from `origin`; returns what gives it back, to be called once."""
        come: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((origin, come))
        self._give()
        try:
            await come
        except asyncio.CancelledError:
            if come.cancelled():
                self._waiting.remove((origin, come))
            else:
                self._leave(origin)
            raise
        began = self._clock()

        def give_back() -> None:
            self._quick[origin] = self._clock() - began <= _QUICK_S
            self._leave(origin)

        return give_back

    def _leave(self, origin: str) -> None:
        self._held[origin] -= 1
        if not self._held[origin]:
            del self._held[origin]
        self._give()

    def _give(self) -> None:
        for turn in tuple(self._waiting):
            origin, come = turn
            if not come.done() and self._may_have(origin):
                self._waiting.remove(turn)
                self._held[origin] += 1
                come.set_result(None)

    def _may_have(self, origin: str) -> bool:
        if self._held.total() >= self._places or self._held[origin] >= self._of_one:
            return False
        unknown = sum(held for name, held in self._held.items() if not self._quick.get(name))
        return bool(self._quick.get(origin)) or unknown < self._of_unknown
