"""How the number of users changes over a run, as tables of stages; `shapes` hands them to locust."""

from __future__ import annotations

import math
from dataclasses import dataclass

SHAPES = ("step", "ramp", "soak", "spike")
"""Every shape, in the order in which `python -m wildgate_perf.load_test` runs them."""
WARM_UP = "warm-up"
"""The phase that the figures of a whole run leave out."""

_RAMP_PARTS = 4
_HELD_SHARE = 0.2  # of a ramp's time, at its end
_WARM_UP_SHARE, _LONGEST_WARM_UP_S = 0.1, 60.0  # of a soak
_SETTLING_SHARE = 0.25  # of a step, before its throughput counts
_LEAST_GAIN, _FUTILE_STEPS = 0.05, 2


@dataclass(frozen=True)
class Stage:
    """A phase of a run: its end in seconds from the start, users wanted, and how many may start or stop a second."""

    phase: str
    ends_s: float
    users: int
    per_s: float


def ramp(users: int, seconds: float, steps: int = 0) -> list[Stage]:
    """Users start one after the other, evenly, then stay for the last fifth."""
    rise_s = seconds * (1 - _HELD_SHARE)
    # In parts: locust asks for the next stage when all users of the last have started.
    shares = [n / _RAMP_PARTS for n in range(1, _RAMP_PARTS + 1)]
    rising = [
        Stage(f"rising {n}/{_RAMP_PARTS}", share * rise_s, math.ceil(share * users), users / rise_s)
        for n, share in enumerate(shares, 1)
    ]
    return [*rising, Stage("held", seconds, users, users)]


def soak(users: int, seconds: float, steps: int = 0) -> list[Stage]:
    """All users start during a warm-up, then stay."""
    warm_up_s = min(seconds * _WARM_UP_SHARE, _LONGEST_WARM_UP_S)
    per_s = max(1.0, users / warm_up_s)
    return [Stage(WARM_UP, warm_up_s, users, per_s), Stage("held", seconds, users, per_s)]


def spike(users: int, seconds: float, steps: int = 0) -> list[Stage]:
    """A quarter of the users, all of them, a quarter again, each for a third of the time."""
    few, third_s = max(1, users // 4), seconds / 3
    wanted = {"before": few, "spike": users, "after": few}
    return [Stage(phase, third_s * n, some, users) for n, (phase, some) in enumerate(wanted.items(), 1)]


def step(users: int, seconds: float, steps: int) -> list[Stage]:
    """More users step by step; see `Saturation` for the end."""
    step_users = math.ceil(users / steps)
    wanted = [*range(step_users, users, step_users), users]
    return [
        Stage("1 user" if some == 1 else f"{some} users", seconds * n / steps, some, step_users)
        for n, some in enumerate(wanted, 1)
    ]


class Saturation:
    """Tells when two steps in a row brought less than 5 % more throughput than the best before."""

    def __init__(self) -> None:
        self._began_s = 0.0
        self._stage: Stage | None = None
        self._settled: tuple[float, int] | None = None
        self._best_per_s = 0.0
        self._futile = 0

    def reached(self, time_s: float, stage: Stage, answered: int) -> bool:
        """To be asked several times per step, with rising times, and how many requests were answered so far."""
        if stage != self._stage:
            if self._settled is not None:
                since_s, before = self._settled
                per_s = (answered - before) / (time_s - since_s)
                self._futile = 0 if per_s > self._best_per_s * (1 + _LEAST_GAIN) else self._futile + 1
                self._best_per_s = max(self._best_per_s, per_s)
            self._began_s, self._stage, self._settled = time_s, stage, None
        elif self._settled is None and time_s >= self._began_s + _SETTLING_SHARE * (stage.ends_s - self._began_s):
            self._settled = (time_s, answered)
        return self._futile >= _FUTILE_STEPS
