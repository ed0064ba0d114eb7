"""The load shapes as locust runs them: by `--shape NAME`, or chosen in its web form.

They take locust's own `--users` and `--run-time` (16 users and 60 s where those are not given). Only the locustfile
imports this, because locust patches the standard library.
"""

from __future__ import annotations

import time
from typing import ClassVar

from locust import LoadTestShape
from locust.runners import MasterRunner

from wildgate_perf.load_test import load_shapes
from wildgate_perf.load_test.load_shapes import Saturation, Stage
from wildgate_perf.load_test.phases import Phases

_USERS, _SECONDS = 16, 60.0
_LAST_REPORTS_S = 4.0  # a worker reports every 3 s


class PlannedShape(LoadTestShape):
    """Goes through stages, then lets requests in flight finish: locust would leave without its workers' last ones."""

    abstract = True
    use_common_options = True
    phases: ClassVar[Phases] = Phases()
    """Those of the run in progress; the listener of locust's `test_start` puts new ones here."""

    def reset_time(self) -> None:
        """Called by locust when a test starts."""
        super().reset_time()  # type: ignore[no-untyped-call]
        assert self.runner is not None
        options = self.runner.environment.parsed_options
        assert options is not None
        users, seconds = options.num_users or _USERS, float(options.run_time or _SECONDS)
        self._stages = self.stages(users, seconds, options.steps)
        self._ended_s: float | None = None
        self._idle_since: float | None = None

    @property
    def first_phase(self) -> str:
        """The phase that a run begins with."""
        return self._stages[0].phase

    def tick(self) -> tuple[int, float] | None:
        """Locust's question, once a second: how many users, and how fast they may start or stop; None ends the test."""
        assert self.runner is not None
        environment, time_s = self.runner.environment, self.get_run_time()  # type: ignore[no-untyped-call]
        stage = next((stage for stage in self._stages if time_s < stage.ends_s), None)
        if self._ended_s is None and stage is not None and not self.over(time_s, stage):
            self.phases.begin(stage.phase, environment.stats.entries)
            return stage.users, stage.per_s
        if self._ended_s is None:
            self._ended_s = time_s
            self.phases.end()
        if time_s - self._ended_s > environment.stop_timeout + _LAST_REPORTS_S or self._drained():
            return None
        return 0, max(stage.users for stage in self._stages)

    @staticmethod
    def stages(users: int, seconds: float, steps: int) -> list[Stage]:
        """The stages of a run with so many users, for so many seconds, in so many steps (where it has steps)."""
        raise NotImplementedError

    def over(self, time_s: float, stage: Stage) -> bool:
        """Whether the run ends before its last stage does."""
        return False

    def _drained(self) -> bool:
        """Whether all users have left and all workers have had time to report it."""
        assert self.runner is not None
        if self.runner.user_count:
            return False
        self._idle_since = self._idle_since or time.monotonic()
        return not isinstance(self.runner, MasterRunner) or time.monotonic() - self._idle_since > _LAST_REPORTS_S


class Ramp(PlannedShape):
    """Users start one after the other, then stay."""

    stages = staticmethod(load_shapes.ramp)


class Soak(PlannedShape):
    """A warm-up, then the same load for long."""

    stages = staticmethod(load_shapes.soak)


class Spike(PlannedShape):
    """A quarter of the users, all of them at once, a quarter again."""

    stages = staticmethod(load_shapes.spike)


class Step(PlannedShape):
    """More users step by step until more of them get no more done."""

    stages = staticmethod(load_shapes.step)

    def reset_time(self) -> None:
        """Called by locust when a test starts."""
        super().reset_time()
        self._saturation = Saturation()

    def over(self, time_s: float, stage: Stage) -> bool:
        """Whether more users got no more done."""
        assert self.runner is not None
        total = self.runner.stats.total
        return self._saturation.reached(time_s, stage, total.num_requests - total.num_failures)
