"""A load shape as locust wants it.

To be imported by locust alone, after gevent has patched the standard library.
"""

from __future__ import annotations

import time

from locust import LoadTestShape

from wildgate_perf.locust_load.collecting import Collector
from wildgate_perf.locust_load.load_shapes import LoadShape, Moment

__all__ = ["ShapeOfRun"]


class ShapeOfRun(LoadTestShape):
    """Asks a `LoadShape` every second, and tells the collector which phase it is in."""

    def __init__(self, shape: LoadShape, collector: Collector, drain_s: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._shape = shape
        self._collector = collector
        self._drain_s = drain_s
        self._ended_s: float | None = None
        self._left: float | None = None
        self._last = Moment(0, 1.0, "start")
        collector.phase = lambda: self._last.phase

    def tick(self) -> tuple[int, float] | None:
        """Locust's question for users and the rate at which they may come or go; None ends the run.

        At its end the users are sent home first: locust would leave at once, without what its workers have under way.
        """
        time_s: float = self.get_run_time()  # type: ignore[no-untyped-call]
        moment = self._shape.at(time_s, self._collector.answered) if self._ended_s is None else None
        if moment is not None:
            self._last = moment
            return moment.users, moment.per_s
        if self._ended_s is None:
            self._ended_s = time_s
            self._collector.end()
        if time_s - self._ended_s > self._drain_s or self._all_is_told():
            return None
        return 0, max(1.0, self._last.users)

    def _all_is_told(self) -> bool:
        """Whether all users have left, and all workers have reported since."""
        users: int = self.get_current_user_count()  # type: ignore[no-untyped-call]
        if users:
            return False
        self._left = self._left or time.monotonic()
        return self._collector.heard_from_all_since(self._left)
