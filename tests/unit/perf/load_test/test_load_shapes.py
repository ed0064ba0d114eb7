"""Users over time, and when a shape ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wildgate_perf.load_test.load_shapes import WARM_UP, Saturation, Stage, ramp, soak, spike, step


def test_a_ramp_rises_evenly_and_stays_there() -> None:
    stages = ramp(16, 100)
    assert [(stage.phase, stage.ends_s, stage.users) for stage in stages] == [
        *(("rising 1/4", 20, 4), ("rising 2/4", 40, 8), ("rising 3/4", 60, 12), ("rising 4/4", 80, 16)),
        ("held", 100, 16),
    ]
    assert {stage.per_s * 20 for stage in stages[:4]} == {4}  # each part's users start over the whole of it
    assert [stage.users for stage in ramp(3, 100)] == [1, 2, 3, 3, 3]


def test_a_soak_warms_up_and_stays() -> None:
    assert soak(16, 100) == [Stage(WARM_UP, 10, 16, 1.6), Stage("held", 100, 16, 1.6)]
    assert soak(16, 10_000)[0].ends_s == 60


def test_a_spike_goes_back_to_where_it_came_from() -> None:
    stages = spike(16, 99)
    assert [(stage.phase, stage.ends_s, stage.users) for stage in stages] == [
        *(("before", 33, 4), ("spike", 66, 16), ("after", 99, 4))
    ]
    assert spike(1, 9)[0].users == 1


@pytest.mark.parametrize(
    ("users", "steps", "phases"),
    [
        (16, 4, ["4 users", "8 users", "12 users", "16 users"]),
        (5, 3, ["2 users", "4 users", "5 users"]),
        (2, 4, ["1 user", "2 users"]),
    ],
)
def test_steps_end_with_all_users_whatever_their_number(users: int, steps: int, phases: list[str]) -> None:
    stages = step(users, 40, steps)
    assert [stage.phase for stage in stages] == phases
    assert stages[0].ends_s == 40 / steps


def stepping(answered: Callable[[int], int]) -> list[int]:
    """Users of the steps until saturation, asked about every second, as locust does."""
    told, saturation = [], Saturation()
    for second in range(40):
        stage = next(stage for stage in step(16, 40, 4) if second < stage.ends_s)
        if saturation.reached(float(second), stage, answered(second)):
            break
        told.append(stage.users)
    return list(dict.fromkeys(told))


@pytest.mark.parametrize(
    ("per_s_of_step", "users"),
    [
        ([80, 160, 240, 320], [4, 8, 12, 16]),  # more users get more done
        ([100, 100, 100, 100], [4, 8, 12]),  # two steps in vain end it
        ([100, 101, 200, 300], [4, 8, 12, 16]),  # one does not
    ],
)
def test_steps_go_on_while_more_gets_done(per_s_of_step: list[int], users: list[int]) -> None:
    assert stepping(lambda time_s: sum(per_s_of_step[second // 10] for second in range(time_s))) == users
