"""How the number of users changes over a run, as plain arithmetic; `shapes` hands it to locust."""

from __future__ import annotations

import math
from dataclasses import dataclass

WARM_UP = "warm-up"
"""The phase that the figures of a whole run leave out."""

_RAMP_PARTS = 4
_HELD_SHARE = 0.2  # of a ramp's time, at its end
_WARM_UP_SHARE, _LONGEST_WARM_UP_S = 0.1, 60.0  # of a soak
_SETTLING_SHARE = 0.25  # of a step, before its throughput counts
_LEAST_GAIN, _FUTILE_STEPS = 0.05, 2


@dataclass(frozen=True)
class ShapePlan:
    """The most users and the longest time; `steps` matters to `StepToSaturation` alone."""

    users: int
    seconds: float
    steps: int = 4


@dataclass(frozen=True)
class Moment:
    """The users wanted now, how many may start or stop in a second, and the phase of the run."""

    users: int
    per_s: float
    phase: str


def ramp(time_s: float, plan: ShapePlan) -> Moment | None:
    """From one user to the most, evenly, then held for the last fifth; None: the end."""
    if time_s >= plan.seconds:
        return None
    risen = time_s / (plan.seconds * (1 - _HELD_SHARE))
    if risen >= 1:
        return Moment(plan.users, plan.users, "held")
    users = 1 + math.floor((plan.users - 1) * risen)
    return Moment(users, plan.users, f"rising {math.floor(risen * _RAMP_PARTS) + 1}/{_RAMP_PARTS}")


def soak(time_s: float, plan: ShapePlan) -> Moment | None:
    """All users start during a warm-up, then stay; None: the end."""
    if time_s >= plan.seconds:
        return None
    warm_up_s = min(plan.seconds * _WARM_UP_SHARE, _LONGEST_WARM_UP_S)
    return Moment(plan.users, max(1.0, plan.users / warm_up_s), WARM_UP if time_s < warm_up_s else "held")


def spike(time_s: float, plan: ShapePlan) -> Moment | None:
    """A quarter of the users, all of them, a quarter again, each for a third of the time; None: the end."""
    if time_s >= plan.seconds:
        return None
    few = max(1, plan.users // 4)
    users, phase = ((few, "before"), (plan.users, "spike"), (few, "after"))[math.floor(3 * time_s / plan.seconds)]
    return Moment(users, plan.users, phase)


class StepToSaturation:
    """More users step by step, until two steps in a row bring less than 5 % more throughput than the best before, or
    all users are there, or the time is up."""

    def __init__(self) -> None:
        self._step = 0
        self._settled: tuple[float, int] | None = None
        self._best_per_s = 0.0
        self._futile = 0

    def at(self, time_s: float, plan: ShapePlan, answered: int) -> Moment | None:
        """What is wanted `time_s` after the start, when `answered` requests were answered so far; None: the end.

        To be asked with rising times, several times per step.
        """
        step_s, step_users = plan.seconds / plan.steps, math.ceil(plan.users / plan.steps)
        step = math.floor(time_s / step_s)
        if step > self._step:
            self._judge(time_s, answered)
            self._step, self._settled = step, None
        elif self._settled is None and time_s >= (step + _SETTLING_SHARE) * step_s:
            self._settled = (time_s, answered)
        if time_s >= plan.seconds or step * step_users >= plan.users or self._futile >= _FUTILE_STEPS:
            return None
        users = min(plan.users, (step + 1) * step_users)
        return Moment(users, step_users, "1 user" if users == 1 else f"{users} users")

    def _judge(self, time_s: float, answered: int) -> None:
        """Holds the step that ended against the best before it."""
        if self._settled is None:
            return
        since_s, before = self._settled
        per_s = (answered - before) / (time_s - since_s)
        self._futile = 0 if per_s > self._best_per_s * (1 + _LEAST_GAIN) else self._futile + 1
        self._best_per_s = max(self._best_per_s, per_s)
