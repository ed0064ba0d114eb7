"""Users over time, and when a shape ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wildgate_perf.locust_load.load_shapes import SHAPES, WARM_UP, Moment, ShapeOptions

OPTIONS = ShapeOptions(users=16, seconds=100, step_users=4, step_s=10)


def moments(name: str, answered: Callable[[float], int] = lambda time_s: 0) -> list[Moment]:
    """Asks every second, as locust does, until the shape ends."""
    shape, told = SHAPES[name](OPTIONS), []
    for second in range(1000):
        moment = shape.at(float(second), answered(second))
        if moment is None:
            return told
        told.append(moment)
    raise AssertionError("never ends")


def test_a_ramp_rises_from_one_to_all_and_stays_there() -> None:
    users = [moment.users for moment in moments("ramp")]
    assert users[0] == 1
    assert users == sorted(users)
    assert users[80:] == [16] * 20
    assert users[79] < 16
    assert users[40] == 8
    phases = list(dict.fromkeys(moment.phase for moment in moments("ramp")))
    assert phases == ["rising 1/4", "rising 2/4", "rising 3/4", "rising 4/4", "held"]


def test_a_soak_warms_up_and_stays() -> None:
    soak = moments("soak")
    assert len(soak) == 100
    assert {moment.users for moment in soak} == {16}
    assert [moment.phase for moment in soak].count(WARM_UP) == 10
    assert soak[0].per_s * 10 == pytest.approx(16)  # all have come when the warm-up ends


def test_a_spike_goes_back_to_where_it_came_from() -> None:
    spike = moments("spike")
    assert [(moment.users, moment.phase) for moment in (spike[0], spike[50], spike[99])] == [
        (4, "before"),
        (16, "spike"),
        (4, "after"),
    ]


def test_a_spike_of_one_user_still_has_users() -> None:
    moment = SHAPES["spike"](ShapeOptions(1, 9, 1, 1)).at(0, 0)
    assert moment is not None
    assert moment.users == 1


def test_steps_go_on_while_more_gets_done() -> None:
    def twenty_times_users(time_s: float) -> int:
        return round(sum(20 * 4 * (second // 10 + 1) for second in range(int(time_s))))

    told = moments("step", twenty_times_users)
    assert list(dict.fromkeys(moment.users for moment in told)) == [4, 8, 12, 16]
    assert len(told) == 40


def test_steps_end_after_two_in_vain() -> None:
    def at_most_100_per_s(time_s: float) -> int:
        return round(sum(min(100, 100 * (second // 10 + 1)) for second in range(int(time_s))))

    told = moments("step", at_most_100_per_s)
    assert list(dict.fromkeys(moment.phase for moment in told)) == ["4 users", "8 users", "12 users"]
    assert len(told) == 30


def test_one_step_in_vain_does_not_end_it() -> None:
    per_s = {0: 100, 1: 101, 2: 200, 3: 300}

    def answered(time_s: float) -> int:
        return sum(per_s[second // 10] for second in range(min(40, int(time_s))))

    assert list(dict.fromkeys(moment.users for moment in moments("step", answered))) == [4, 8, 12, 16]


@pytest.mark.parametrize("field", ["users", "seconds", "step_users", "step_s"])
def test_a_shape_of_nothing_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must be above 0, not 0"):
        ShapeOptions(**{"users": 1, "seconds": 1, "step_users": 1, "step_s": 1, field: 0})
