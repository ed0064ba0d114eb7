"""Who has work begun for nothing again and again has to wait, until it stops."""

from __future__ import annotations

import pytest
from event_loop import Clock

from wildgate_server.errors import Overloaded
from wildgate_server.pace import Pace


def test_only_who_goes_too_fast_is_refused_and_only_for_a_while() -> None:
    clock = Clock()
    pace = Pace("calls given up", 50, 5.0, clock)
    for _ in range(50):
        pace.check("a")
        pace.count("a")
    with pytest.raises(Overloaded, match="too many calls given up") as refused:
        pace.check("a")
    pace.check("b")
    assert refused.value.retry_after_s == pace.wait_s("a") == pytest.approx(0.2)
    clock.now += refused.value.retry_after_s
    pace.check("a")


def test_no_more_connections_are_remembered_than_there_may_be() -> None:
    pace = Pace("calls given up", 50, 5.0, Clock())
    for number in range(10_000):
        pace.count(str(number))
    assert len(pace._counts) == 4096
