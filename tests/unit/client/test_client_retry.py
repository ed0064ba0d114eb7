from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import grpc
import pytest

from wildgate_client import Clock, DeadlineExceeded, Overloaded, RetryPolicy, ScoringError, Unavailable
from wildgate_client._retry import with_retry

POLICY = RetryPolicy(attempts=4, initial_backoff_s=1.0, max_backoff_s=3.0, multiplier=2.0)


@dataclass
class Attempts:
    """Fails with each of `failures` in turn, then answers. Time passes only in work and in pauses.

    Every attempt takes `work_s`; jitter takes `jitter` of its ceiling.
    """

    failures: list[BaseException] = field(default_factory=list)
    work_s: float = 0.0
    jitter: float = 1.0
    now_s: float = 100.0
    left_s: list[float] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    async def attempt(self, left_s: float) -> str:
        self.left_s.append(left_s)
        self.now_s += self.work_s
        if self.failures:
            raise self.failures.pop(0)
        return "answer"

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds

    async def run(self, deadline_s: float = 60.0) -> str:
        clock = Clock(lambda: self.now_s, self.sleep, lambda low, high: low + (high - low) * self.jitter)
        return await with_retry(self.attempt, policy=POLICY, deadline_s=deadline_s, clock=clock)


def overloaded(retry_after_s: float | None = None) -> Overloaded:
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    return Overloaded("full", code=code, reason="OVERLOADED", retry_after_s=retry_after_s)


def unavailable() -> Unavailable:
    return Unavailable("away", code=grpc.StatusCode.UNAVAILABLE, reason="BACKEND_UNAVAILABLE")


@pytest.mark.parametrize(
    ("failures", "jitter", "pauses"),
    [
        pytest.param([unavailable(), overloaded(), unavailable()], 1.0, [1.0, 2.0, 3.0], id="grow up to a maximum"),
        pytest.param([unavailable(), unavailable()], 0.0, [0.0, 0.0], id="may be jittered away"),
        pytest.param([overloaded(7.0)], 0.0, [7.0], id="are no shorter than RetryInfo asks"),
        pytest.param([overloaded(7.0)], 0.5, [7.5], id="add jitter to RetryInfo"),
    ],
)
async def test_pauses(failures: list[BaseException], jitter: float, pauses: list[float]):
    attempts = Attempts(list(failures), jitter=jitter)
    assert await attempts.run() == "answer"
    assert attempts.pauses == pauses


async def test_attempts_are_bounded_and_the_last_error_is_raised():
    attempts = Attempts([unavailable(), unavailable(), unavailable(), overloaded(), unavailable()])
    with pytest.raises(Overloaded):
        await attempts.run()
    assert (len(attempts.left_s), len(attempts.pauses)) == (4, 3)


async def test_who_is_told_when_there_is_room_comes_back_then_as_often_as_the_deadline_allows():
    attempts = Attempts([overloaded(2.0)] * 6 + [unavailable()], jitter=0.5)
    assert await attempts.run(deadline_s=60.0) == "answer"
    assert attempts.pauses == [2.5] * 6 + [0.5]
    attempts = Attempts([overloaded(2.0)] * 6)
    with pytest.raises(Overloaded):
        await attempts.run(deadline_s=10.0)
    assert len(attempts.pauses) == 3


async def test_one_attempt_is_one_attempt():
    attempts = Attempts([overloaded(2.0)])
    with pytest.raises(Overloaded):
        await with_retry(attempts.attempt, policy=RetryPolicy(attempts=1), deadline_s=60.0, clock=Clock())


async def test_one_deadline_covers_all_attempts():
    attempts = Attempts([unavailable()] * 3, work_s=2.0)
    await attempts.run(deadline_s=30.0)
    assert attempts.left_s == [30.0, 27.0, 23.0, 18.0]


async def test_a_pause_past_the_deadline_is_not_begun():
    attempts = Attempts([overloaded(retry_after_s=10.0)])
    with pytest.raises(Overloaded):
        await attempts.run(deadline_s=10.0)
    assert (len(attempts.left_s), attempts.pauses) == (1, [])


async def test_after_the_deadline_no_attempt_is_made():
    attempts = Attempts()
    with pytest.raises(DeadlineExceeded):
        await attempts.run(deadline_s=0.0)
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
async def test_other_errors_are_not_retried(error: BaseException):
    attempts = Attempts([error])
    with pytest.raises(type(error)):
        await attempts.run()
    assert len(attempts.left_s) == 1


@pytest.mark.parametrize(
    ("field_name", "value", "message"),
    [
        ("attempts", 0, "attempts: 0"),
        ("initial_backoff_s", 9.0, "initial_backoff_s: 9"),
        ("multiplier", 0.5, "multiplier: 0.5"),
    ],
)
def test_an_impossible_policy_is_refused(field_name: str, value: float, message: str):
    with pytest.raises(ValueError, match=message):
        RetryPolicy(**{field_name: value})
