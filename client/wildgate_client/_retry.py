"""Bounded retry under one deadline.

Exponential backoff with full jitter (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
2015): the pause is drawn uniformly between zero and a ceiling that grows with every failure. A server that says
when to come back (`RetryInfo`) is never asked earlier; jitter is added to that, so that its callers do not all
return at once. One that is full, and says when it will have room, spreads its callers itself: it is asked again then,
as often as the deadline allows, and such refusals are no failures.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import grpc

from wildgate_client.errors import DeadlineExceeded, Overloaded, ScoringError

__all__ = ["Clock", "RetryPolicy", "with_retry"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and after what pauses, a retryable failure is retried; `attempts=1`: never, whatever it is."""

    attempts: int = 4
    initial_backoff_s: float = 0.2
    max_backoff_s: float = 5.0
    multiplier: float = 2.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts: {self.attempts} is less than 1")
        if not 0 <= self.initial_backoff_s <= self.max_backoff_s:
            raise ValueError(
                f"initial_backoff_s: {self.initial_backoff_s:g} is not between 0 and "
                f"max_backoff_s {self.max_backoff_s:g}"
            )
        if self.multiplier < 1:
            raise ValueError(f"multiplier: {self.multiplier:g} is less than 1")

    def backoff_ceiling_s(self, failures: int) -> float:
        """The longest pause after this many failures in a row, in seconds."""
        return min(self.max_backoff_s, self.initial_backoff_s * self.multiplier ** (failures - 1))


@dataclass(frozen=True, slots=True)
class Clock:
    """Time and randomness, which tests replace."""

    now_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    uniform: Callable[[float, float], float] = random.uniform


async def with_retry(
    attempt: Callable[[float], Awaitable[T]], *, policy: RetryPolicy, deadline_s: float, clock: Clock
) -> T:
    """Calls `attempt` with the seconds left, until it succeeds, fails for good or no time is left for another.

    Raises the last attempt's error: when the next one could not begin before the deadline, the server's own words say
    more than `DeadlineExceeded`. Anything but a retryable `ScoringError` passes through, including cancellation.
    """
    ends_s = clock.now_s() + deadline_s
    failures = 0
    while True:
        left_s = ends_s - clock.now_s()
        if left_s <= 0:
            raise DeadlineExceeded(
                f"the deadline of {deadline_s:g} s passed before the call",
                code=grpc.StatusCode.DEADLINE_EXCEEDED,
                reason="DEADLINE_EXCEEDED",
            )
        try:
            return await attempt(left_s)
        except ScoringError as error:
            if not isinstance(error, Overloaded) or error.retry_after_s is None:
                failures += 1
            if not error.retryable or failures >= policy.attempts or policy.attempts == 1:
                raise
            pause_s = (error.retry_after_s or 0.0) + clock.uniform(0.0, policy.backoff_ceiling_s(max(failures, 1)))
            if clock.now_s() + pause_s >= ends_s:
                raise
        await clock.sleep(pause_s)
