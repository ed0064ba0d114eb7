"""When something that fails is left alone, and when it is tried again."""

from __future__ import annotations

import pytest
from event_loop import Clock

from wildgate_server.caching.circuit_breaker import CircuitBreaker


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(failures=3, pause_s=1.0, max_pause_s=5.0, clock=clock)


def opened(breaker: CircuitBreaker) -> None:
    for _ in range(3):
        assert breaker.allows()
        breaker.failed()


def test_failures_in_a_row_open_it(breaker: CircuitBreaker) -> None:
    for _ in range(5):  # never three in a row
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert breaker.allows()
    opened(breaker)
    assert breaker.open
    assert not breaker.allows()


def test_after_the_pause_one_tries_and_the_others_wait(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 0.99
    assert not breaker.allows()
    clock.now += 0.01
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert not breaker.open
    assert [breaker.allows() for _ in range(3)] == [True, True, True]


def test_pauses_grow_up_to_the_longest_and_begin_anew(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker)
    for pause_s in (1.0, 2.0, 4.0, 5.0, 5.0):
        clock.now += pause_s - 0.01
        assert not breaker.allows()
        clock.now += 0.01
        assert breaker.allows()
        breaker.failed()
    clock.now += 5.0
    assert breaker.allows()
    breaker.succeeded()
    opened(breaker)
    clock.now += 1.0
    assert breaker.allows()


def test_what_was_asked_before_it_opened_and_fails_late_lengthens_no_pause(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    opened(breaker)
    for _ in range(64):
        breaker.failed()
    clock.now += 1.0
    assert breaker.allows()


def test_who_tries_and_is_never_heard_of_keeps_nobody_out_for_good(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 1.0
    assert breaker.allows()
    assert not breaker.allows()
    clock.now += 1.0
    assert breaker.allows()
