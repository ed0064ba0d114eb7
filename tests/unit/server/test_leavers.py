"""Who gives up calls again and again is refused until it stops."""

from __future__ import annotations

import pytest
from event_loop import Clock

from wildgate_server.errors import Overloaded
from wildgate_server.leavers import Leavers


def test_only_who_leaves_too_often_is_refused_and_only_for_a_while() -> None:
    clock = Clock()
    leavers = Leavers(clock)
    for _ in range(50):
        leavers.check("a")
        leavers.left("a", after_s=0.1)
    with pytest.raises(Overloaded) as refused:
        leavers.check("a")
    leavers.check("b")
    assert refused.value.retry_after_s
    clock.now += refused.value.retry_after_s
    leavers.check("a")


def test_who_waited_for_a_second_had_a_reason_to_leave() -> None:
    leavers = Leavers(Clock())
    for _ in range(1000):
        leavers.left("a", after_s=1.0)
    leavers.check("a")


def test_no_more_connections_are_remembered_than_there_may_be() -> None:
    leavers = Leavers(Clock())
    for number in range(10_000):
        leavers.left(str(number), after_s=0.0)
    assert len(leavers._left) == 4096
