"""Callers that leave again and again before they are answered, and are refused unread until they stop."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from cachetools import LRUCache

from wildgate_server.errors import Overloaded

__all__ = ["Leavers"]

_SOON_S = 1.0  # who has waited for longer had a reason
_MOST_AT_ONCE = 50  # of one connection
_PER_S = 5.0
_CONNECTIONS = 4096  # remembered


class Leavers:
    """Counts calls that were given up within a second, by connection.

    Such a call costs the server its message and whatever was begun for it, and its caller nothing. Each connection may
    give up 50 at once, and 5 a second.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._left: LRUCache[str, tuple[float, float]] = LRUCache(_CONNECTIONS)  # how many, less what time forgives

    def check(self, connection: str) -> None:
        """Raises Overloaded for a connection whose calls were given up too often."""
        if (count := self._count(connection)) >= _MOST_AT_ONCE:
            raise Overloaded(
                f"{count:.0f} calls of this connection were given up before they were answered",
                retry_after_s=(count - _MOST_AT_ONCE + 1) / _PER_S,
            )

    def left(self, connection: str, after_s: float) -> None:
        """A call was given up, so long after it had begun."""
        if after_s < _SOON_S:
            self._left[connection] = self._count(connection) + 1, self._clock()

    def _count(self, connection: str) -> float:
        count, at = self._left.get(connection, (0.0, 0.0))
        return max(0.0, count - (self._clock() - at) * _PER_S)
