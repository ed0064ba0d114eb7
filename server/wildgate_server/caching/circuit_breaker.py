"""A circuit breaker: what keeps failing is left alone for a while, so that it costs nothing.

The pattern is that of Michael Nygard, "Release It!" (2007): closed, open, half-open.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

__all__ = ["CircuitBreaker"]


class CircuitBreaker:
    """Says whether something is worth asking.

    After `failures` in a row it is not, for `pause_s`; then one asks, and the others wait for what that one learns.
    Each time it fails again the pause is twice as long, up to `max_pause_s`. `clock` returns monotonic seconds.
    """

    def __init__(
        self,
        *,
        failures: int = 3,
        pause_s: float = 1.0,
        max_pause_s: float = 30.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._limit = failures
        self._first_pause_s = self._pause_s = pause_s
        self._max_pause_s = max_pause_s
        self._clock = clock
        self._failures = 0
        self._next_try = 0.0
        self._trying = False

    @property
    def open(self) -> bool:
        """Whether it has failed too often, and has not succeeded since."""
        return self._failures >= self._limit

    def allows(self) -> bool:
        """Whether to ask now; while the breaker is open, the caller that gets a yes is the one that tries."""
        if not self.open:
            return True
        now = self._clock()
        if now < self._next_try:
            return False
        self._next_try = now + self._pause_s  # for the others, and for the case that nothing is heard of this one
        self._trying = True
        return True

    def succeeded(self) -> None:
        """Notes an answer."""
        self._failures = 0
        self._pause_s = self._first_pause_s
        self._trying = False

    def failed(self) -> None:
        """Notes a failure; those of what was asked before it opened, which come late, lengthen no pause."""
        if self.open and not self._trying:
            return
        self._failures += 1
        if self._trying:
            self._trying = False
            self._pause_s = min(self._pause_s * 2, self._max_pause_s)
        if self.open:
            self._next_try = self._clock() + self._pause_s
