from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import grpc
import pytest

from wildgate_client import Clock, DeadlineExceeded, Overloaded, RetryPolicy, ScoringError, Unavailable
from wildgate_client._retry import with_retry


@dataclass
class FakeTime:
    """Time that passes only while somebody sleeps or works; jitter takes the given share of its ceiling."""

    share: float = 1.0
    now: float = 100.0
    pauses: list[float] = field(default_factory=list)
    ceilings: list[float] = field(default_factory=list)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def _uniform(self, low: float, high: float) -> float:
        assert low == 0
        self.ceilings.append(high)
        return high * self.share

    def clock(self) -> Clock:
        return Clock(now_s=lambda: self.now, sleep=self._sleep, uniform=self._uniform)


@dataclass
class Attempts:
    """Fails with each of `failures` in turn, then answers; every attempt takes `work_s`."""

    time: FakeTime
    failures: list[BaseException]
    work_s: float = 0.0
    left_s: list[float] = field(default_factory=list)

    async def __call__(self, left_s: float) -> str:
        self.left_s.append(left_s)
        self.time.now += self.work_s
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


def overloaded(retry_after_s: float | None = None) -> Overloaded:
    return Overloaded(
        "full",
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        reason="OVERLOADED",
        retry_after_s=retry_after_s,
    )


def unavailable() -> Unavailable:
    return Unavailable("away", code=grpc.StatusCode.UNAVAILABLE, reason="BACKEND_UNAVAILABLE")


POLICY = RetryPolicy(attempts=4, initial_backoff_s=1.0, max_backoff_s=3.0, multiplier=2.0)


async def run(attempts: Attempts, deadline_s: float = 60.0, policy: RetryPolicy = POLICY) -> str:
    return await with_retry(attempts, policy=policy, deadline_s=deadline_s, clock=attempts.time.clock())


async def test_backoff_grows_up_to_its_maximum():
    time = FakeTime()
    assert await run(Attempts(time, [unavailable(), overloaded(), unavailable()])) == "answer"
    assert time.ceilings == [1.0, 2.0, 3.0]
    assert time.pauses == [1.0, 2.0, 3.0]


async def test_jitter_may_take_the_whole_pause_away():
    time = FakeTime(share=0.0)
    assert await run(Attempts(time, [unavailable(), unavailable()])) == "answer"
    assert time.pauses == [0.0, 0.0]


async def test_retry_info_is_a_lower_bound_and_jitter_comes_on_top():
    time = FakeTime(share=0.0)
    await run(Attempts(time, [overloaded(retry_after_s=7.0)]))
    assert time.pauses == [7.0]
    time = FakeTime(share=0.5)
    await run(Attempts(time, [overloaded(retry_after_s=7.0)]))
    assert time.pauses == [7.5]


async def test_attempts_are_bounded_and_the_last_error_is_raised():
    time = FakeTime()
    attempts = Attempts(time, [unavailable(), unavailable(), unavailable(), overloaded(), unavailable()])
    with pytest.raises(Overloaded):
        await run(attempts)
    assert len(attempts.left_s) == 4
    assert len(time.pauses) == 3


async def test_one_deadline_bounds_all_attempts():
    time = FakeTime()
    attempts = Attempts(time, [unavailable()] * 3, work_s=2.0)
    await run(attempts, deadline_s=30.0)
    assert attempts.left_s == [30.0, 27.0, 23.0, 18.0]


async def test_a_pause_past_the_deadline_is_not_begun():
    time = FakeTime()
    attempts = Attempts(time, [overloaded(retry_after_s=10.0)])
    with pytest.raises(Overloaded):
        await run(attempts, deadline_s=10.0)
    assert time.pauses == []
    assert len(attempts.left_s) == 1


async def test_a_deadline_that_has_passed_makes_no_attempt():
    attempts = Attempts(FakeTime(), [])
    with pytest.raises(DeadlineExceeded):
        await run(attempts, deadline_s=0.0)
    assert attempts.left_s == []


@pytest.mark.parametrize(
    "error",
    [
        ScoringError("no", code=grpc.StatusCode.INVALID_ARGUMENT, reason="NOT_A_VIDEO"),
        DeadlineExceeded("late", code=grpc.StatusCode.DEADLINE_EXCEEDED, reason="DEADLINE_EXCEEDED"),
        asyncio.CancelledError(),
        RuntimeError("a surprise"),
    ],
)
async def test_nothing_else_is_tried_again(error: BaseException):
    attempts = Attempts(FakeTime(), [error])
    with pytest.raises(type(error)):
        await run(attempts)
    assert len(attempts.left_s) == 1


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"attempts": 0}, "attempts: 0"),
        ({"initial_backoff_s": 9.0}, "initial_backoff_s: 9"),
        ({"multiplier": 0.5}, "multiplier: 0.5"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(fields: dict[str, float], named: str):
    with pytest.raises(ValueError, match=named):
        RetryPolicy(**fields)
