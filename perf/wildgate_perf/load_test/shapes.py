"""The load shapes as locust runs them: by `--shape NAME`, or chosen in its web form.

They take locust's own `--users` and `--run-time` (16 users and 60 s where those are not given). Only the locustfile
imports this, because locust patches the standard library.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from locust import LoadTestShape
from locust.runners import MasterRunner

from wildgate_perf.load_test import load_shapes
from wildgate_perf.load_test.load_shapes import Moment, ShapePlan
from wildgate_perf.load_test.phases import Phases

_USERS, _SECONDS = 16, 60.0
_LAST_REPORTS_S = 4.0  # a worker reports every 3 s


class PlannedShape(LoadTestShape):
    """Follows a plan, then lets requests in flight finish: locust itself would leave without its workers' last ones."""

    abstract = True
    use_common_options = True
    phases: ClassVar[Phases] = Phases()
    """Those of the run in progress; the listener of locust's `test_start` puts new ones here."""

    def reset_time(self) -> None:
        """Called by locust when a test starts."""
        super().reset_time()  # type: ignore[no-untyped-call]
        self._began()
        self._last = Moment(0, 1.0, "start")
        self._ended_s: float | None = None
        self._idle_since: float | None = None

    @property
    def phase(self) -> str:
        """The phase that the shape asked for last."""
        return self._last.phase

    def tick(self) -> tuple[int, float] | None:
        """Locust's question, once a second: how many users, and how fast they may start or stop; None ends the test."""
        assert self.runner is not None
        environment = self.runner.environment
        options, time_s = environment.parsed_options, self.get_run_time()  # type: ignore[no-untyped-call]
        assert options is not None
        plan = ShapePlan(options.num_users or _USERS, float(options.run_time or _SECONDS), options.steps)
        if self._ended_s is None and (moment := self.at(time_s, plan)) is not None:
            self.phases.begin(moment.phase, environment.stats.entries)
            self._last = moment
            return moment.users, moment.per_s
        if self._ended_s is None:
            self._ended_s = time_s
            self.phases.end()
        if time_s - self._ended_s > environment.stop_timeout + _LAST_REPORTS_S or self._drained():
            return None
        return 0, max(1.0, self._last.users)

    def at(self, time_s: float, plan: ShapePlan) -> Moment | None:
        """What the plan asks for now; None: the end."""
        raise NotImplementedError

    def _began(self) -> None:
        """A test starts."""

    def _drained(self) -> bool:
        """Whether all users have left and all workers have had time to report it."""
        assert self.runner is not None
        if self.runner.user_count:
            return False
        self._idle_since = self._idle_since or time.monotonic()
        return not isinstance(self.runner, MasterRunner) or time.monotonic() - self._idle_since > _LAST_REPORTS_S


def _planned(function: Callable[[float, ShapePlan], Moment | None]) -> Callable[..., Moment | None]:
    return lambda self, time_s, plan: function(time_s, plan)


class Ramp(PlannedShape):
    """From one user to the most, then held."""

    at = _planned(load_shapes.ramp)


class Soak(PlannedShape):
    """A warm-up, then the same load for long."""

    at = _planned(load_shapes.soak)


class Spike(PlannedShape):
    """A quarter of the users, all of them at once, a quarter again."""

    at = _planned(load_shapes.spike)


class Step(PlannedShape):
    """More users step by step until more of them get no more done."""

    def _began(self) -> None:
        self._saturation = load_shapes.StepToSaturation()

    def at(self, time_s: float, plan: ShapePlan) -> Moment | None:
        """See `StepToSaturation`."""
        assert self.runner is not None
        total = self.runner.stats.total
        return self._saturation.at(time_s, plan, total.num_requests - total.num_failures)


SHAPES: dict[str, type[PlannedShape]] = {"ramp": Ramp, "soak": Soak, "spike": Spike, "step": Step}
"""Every shape by the name that `--shape` has for it."""
