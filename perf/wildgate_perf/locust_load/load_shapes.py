"""How the number of users changes over a run. Plain arithmetic; `shape_in_locust` hands it to locust.

`ramp`: from one user to the most, then held. `soak`: a warm-up, then the same load for long. `spike`: a quarter of
the users, all of them at once, a quarter again. `step`: more users step by step until more of them get no more done.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["SHAPES", "WARM_UP", "LoadShape", "Moment", "Ramp", "ShapeOptions", "Soak", "Spike", "StepToSaturation"]

WARM_UP = "warm-up"  # the phase that no figure of a whole run counts
_RAMP_PARTS = 4
_HELD_SHARE = 0.2  # of a ramp's time, at its end
_WARM_UP_SHARE = 0.1  # of a soak's time
_LONGEST_WARM_UP_S = 60.0
_SETTLING_SHARE = 0.25  # of a step, before what gets done is counted
_LEAST_GAIN = 0.05  # of what gets done, or a step was in vain
_STEPS_IN_VAIN = 2


@dataclass(frozen=True)
class ShapeOptions:
    """How large and how long. `step_users` more every `step_s` matter to `step` alone, which may end before
    `seconds`."""

    users: int
    seconds: float
    step_users: int
    step_s: float

    def __post_init__(self) -> None:
        for name in ("users", "seconds", "step_users", "step_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")


@dataclass(frozen=True)
class Moment:
    """The users wanted now, how many of them may come or go in a second, and what this part of the run is called."""

    users: int
    per_s: float
    phase: str


class LoadShape(Protocol):
    """Users over time."""

    def at(self, time_s: float, answered: int) -> Moment | None:
        """What is wanted `time_s` after the start, when `answered` requests were answered so far; None: the end."""


@dataclass(frozen=True)
class Ramp:
    """From one user to the most, evenly, then held for the last fifth."""

    options: ShapeOptions

    def at(self, time_s: float, answered: int) -> Moment | None:
        """See `LoadShape`."""
        options = self.options
        if time_s >= options.seconds:
            return None
        rising_s = options.seconds * (1 - _HELD_SHARE)
        if time_s >= rising_s:
            return Moment(options.users, options.users, "held")
        risen = time_s / rising_s
        part = math.floor(risen * _RAMP_PARTS) + 1
        users = 1 + math.floor((options.users - 1) * risen)
        return Moment(users, options.users, f"rising {part}/{_RAMP_PARTS}")


@dataclass(frozen=True)
class Soak:
    """All users come during a warm-up, then stay."""

    options: ShapeOptions

    def at(self, time_s: float, answered: int) -> Moment | None:
        """See `LoadShape`."""
        options = self.options
        if time_s >= options.seconds:
            return None
        warm_up_s = min(options.seconds * _WARM_UP_SHARE, _LONGEST_WARM_UP_S)
        phase = WARM_UP if time_s < warm_up_s else "held"
        return Moment(options.users, max(1.0, options.users / warm_up_s), phase)


@dataclass(frozen=True)
class Spike:
    """A quarter of the users for a third of the time, all of them for the next, a quarter again for the last."""

    options: ShapeOptions

    def at(self, time_s: float, answered: int) -> Moment | None:
        """See `LoadShape`."""
        options = self.options
        if time_s >= options.seconds:
            return None
        few = max(1, options.users // 4)
        third = math.floor(3 * time_s / options.seconds)
        users, phase = ((few, "before"), (options.users, "spike"), (few, "after"))[third]
        return Moment(users, options.users, phase)


@dataclass
class StepToSaturation:
    """`step_users` more every `step_s`, until two steps running brought less than 5 % more answers a second than the
    best before, or all users are there, or the time is up."""

    options: ShapeOptions
    _step: int = 0
    _settled: tuple[float, int] | None = None
    _best_per_s: float = 0.0
    _in_vain: int = field(default=0)

    def at(self, time_s: float, answered: int) -> Moment | None:
        """See `LoadShape`; to be asked with rising times, several times in a step."""
        options = self.options
        step = math.floor(time_s / options.step_s)
        if step > self._step:
            self._judge(time_s, answered)
            self._step, self._settled = step, None
        elif self._settled is None and time_s >= (step + _SETTLING_SHARE) * options.step_s:
            self._settled = (time_s, answered)
        users = (step + 1) * options.step_users
        if time_s >= options.seconds or users > options.users or self._in_vain >= _STEPS_IN_VAIN:
            return None
        return Moment(users, options.step_users, "1 user" if users == 1 else f"{users} users")

    def _judge(self, time_s: float, answered: int) -> None:
        """Holds the step that ended against the best before it."""
        if self._settled is None:
            return
        since_s, before = self._settled
        per_s = (answered - before) / (time_s - since_s)
        self._in_vain = 0 if per_s > self._best_per_s * (1 + _LEAST_GAIN) else self._in_vain + 1
        self._best_per_s = max(self._best_per_s, per_s)


SHAPES: Mapping[str, Callable[[ShapeOptions], LoadShape]] = {
    "ramp": Ramp,
    "soak": Soak,
    "spike": Spike,
    "step": StepToSaturation,
}
"""Every load shape by the name that options and results folders have for it."""
