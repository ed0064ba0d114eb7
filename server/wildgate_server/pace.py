"""Connections that again and again have work begun that comes to nothing, and what they have to wait for that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from cachetools import LRUCache

from wildgate_server.errors import Overloaded

__all__ = ["Pace"]

_CONNECTIONS = 4096  # remembered


@dataclass(eq=False, slots=True)
class Pace:
    """Counts, by connection, what costs the server more than its caller: `at_once` of it, and `per_s` from then on.

    `what` that is, a refusal says.
    """

    what: str
    at_once: int
    per_s: float
    clock: Callable[[], float] = monotonic
    # How many, less what time forgives, and when that was.
    _counts: LRUCache[str, tuple[float, float]] = field(default_factory=lambda: LRUCache(_CONNECTIONS))

    def count(self, connection: str) -> None:
        """One more."""
        self._counts[connection] = self._now(connection) + 1, self.clock()

    def wait_s(self, connection: str) -> float:
        """Seconds until the connection has kept the pace."""
        return max(self._now(connection) + 1 - self.at_once, 0.0) / self.per_s

    def check(self, connection: str) -> None:
        """Raises Overloaded for a connection that has to wait."""
        if wait_s := self.wait_s(connection):
            raise Overloaded(f"too many {self.what}", retry_after_s=wait_s)

    def _now(self, connection: str) -> float:
        count, at = self._counts.get(connection, (0.0, 0.0))
        return max(0.0, count - (self.clock() - at) * self.per_s)
