"""Users over time, and when a shape ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wildgate_perf.load_test.load_shapes import WARM_UP, Moment, ShapePlan, StepToSaturation, ramp, soak, spike

PLAN = ShapePlan(users=16, seconds=100)
STEPS = ShapePlan(users=16, seconds=40)


def moments(at: Callable[[float], Moment | None]) -> list[Moment]:
    """Asks every second, as locust does, until the shape ends."""
    told = []
    for second in range(1000):
        moment = at(float(second))
        if moment is None:
            return told
        told.append(moment)
    raise AssertionError("never ends")


def stepping(answered: Callable[[float], int], plan: ShapePlan = STEPS) -> list[Moment]:
    shape = StepToSaturation()
    return moments(lambda time_s: shape.at(time_s, plan, answered(time_s)))


def phases(told: list[Moment]) -> list[str]:
    return list(dict.fromkeys(moment.phase for moment in told))


def test_a_ramp_rises_from_one_to_all_and_stays_there() -> None:
    told = moments(lambda time_s: ramp(time_s, PLAN))
    users = [moment.users for moment in told]
    assert users == sorted(users)
    assert (users[0], users[40]) == (1, 8)
    assert users[79] < 16
    assert users[80:] == [16] * 20
    assert phases(told) == ["rising 1/4", "rising 2/4", "rising 3/4", "rising 4/4", "held"]


def test_a_soak_warms_up_and_stays() -> None:
    told = moments(lambda time_s: soak(time_s, PLAN))
    assert len(told) == 100
    assert {moment.users for moment in told} == {16}
    assert [moment.phase for moment in told].count(WARM_UP) == 10
    assert told[0].per_s * 10 == pytest.approx(16)  # all have started when the warm-up ends


def test_a_spike_goes_back_to_where_it_came_from() -> None:
    told = moments(lambda time_s: spike(time_s, PLAN))
    assert [(told[second].users, told[second].phase) for second in (0, 50, 99)] == [
        *((4, "before"), (16, "spike"), (4, "after"))
    ]
    assert spike(0, ShapePlan(1, 9)) == Moment(1, 1, "before")


@pytest.mark.parametrize(
    ("per_s_of_step", "users"),
    [
        ([80, 160, 240, 320], [4, 8, 12, 16]),  # more users get more done
        ([100, 100, 100, 100], [4, 8, 12]),  # two steps in vain end it
        ([100, 101, 200, 300], [4, 8, 12, 16]),  # one does not
    ],
)
def test_steps_go_on_while_more_gets_done(per_s_of_step: list[int], users: list[int]) -> None:
    def answered(time_s: float) -> int:
        return sum(per_s_of_step[second // 10] for second in range(min(40, int(time_s))))

    told = stepping(answered)
    assert phases(told) == [f"{count} users" for count in users]
    assert len(told) == 10 * len(users)


def test_steps_end_with_all_users_whatever_their_number() -> None:
    told = stepping(lambda time_s: round(time_s**2), ShapePlan(users=5, seconds=40, steps=3))
    assert phases(told) == ["2 users", "4 users", "5 users"]
