"""Users over time, and when a shape ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wildgate_perf.load_test.load_shapes import Saturation, step


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
