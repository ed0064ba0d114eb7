"""Gathers what came of every request, over all of locust's processes, and writes it all down at the end.

To be imported by locust alone, after gevent has patched the standard library.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from wildgate_perf.locust_load.objectives import Objectives
from wildgate_perf.locust_load.options import LoadOptions
from wildgate_perf.locust_load.record import AT_EASE, NAME, SUMMARY, RunRecord, Users, write_record
from wildgate_perf.locust_load.summary import summarise
from wildgate_perf.locust_load.tables import write_tables
from wildgate_perf.locust_load.tally import Answer, Tally
from wildgate_perf.machine_facts import machine_facts

__all__ = ["MISSED", "Collector"]

MISSED = 1
"""Exit status of a run that misses an objective, or had no answer at all."""

_MESSAGE = "wildgate"  # our part of the messages from workers
_LOOK_EVERY_S = 0.25


class Collector:
    """Tally and users of a run. In a worker, the tally goes to the master with locust's own reports."""

    def __init__(self, environment: Environment, options: LoadOptions, objectives: Objectives) -> None:
        self._environment = environment
        self._options = options
        self._objectives = objectives
        self._machine = machine_facts(("grpcio", "locust", "gevent"))  # before the load, which would be in the facts
        self._tally = Tally()
        self._users: list[Users] = []
        self._ended: float | None = None
        self._heard: dict[str, float] = {}
        self.phase: Callable[[], str] = lambda: AT_EASE
        """What the present part of the run is called."""
        events = environment.events
        listeners = (
            ((events.report_to_master, self._on_report),)
            if isinstance(environment.runner, WorkerRunner)
            else (
                (events.worker_report, self._on_worker_report),
                (events.test_start, self._on_start),
                (events.test_stopping, self._on_stopping),
                (events.quitting, self._on_quitting),
            )
        )
        for hook, listener in listeners:
            hook.add_listener(listener)  # type: ignore[no-untyped-call]

    def add(self, kind: str, answer: Answer) -> None:
        """Counts a request that ended now."""
        self._tally.add(int(time.time()), kind, answer)

    @property
    def answered(self) -> int:
        """Answers so far, as far as they are known here."""
        return self._tally.answered

    def heard_from_all_since(self, moment: float) -> bool:
        """Whether every worker, if there are any, has reported since that `time.monotonic()`."""
        runner = self._environment.runner
        workers = runner.clients if isinstance(runner, MasterRunner) else ()
        return all(self._heard.get(worker, 0.0) > moment for worker in workers)

    def _on_report(self, data: dict[str, Any], **_: object) -> None:
        data[_MESSAGE] = self._tally.take().as_json()

    def _on_worker_report(self, client_id: str, data: dict[str, Any], **_: object) -> None:
        self._heard[client_id] = time.monotonic()
        self._tally.merge(Tally.from_json(data.get(_MESSAGE, [])))

    def _on_start(self, **_: object) -> None:
        """A run begins; with locust's web pages there may have been one before, which is forgotten."""
        self._tally, self._users, self._ended = Tally(), [], None
        threading.Thread(target=self._watch, args=(self._users,), name="watch users", daemon=True).start()

    def _watch(self, users: list[Users]) -> None:
        """Notes every change of users and phase until this run ends; a greenlet, since gevent has patched threads."""
        runner = self._environment.runner
        while self._ended is None and users is self._users:
            now = Users(time.time(), runner.user_count if runner else 0, self.phase())
            if not users or (now.count, now.phase) != (users[-1].count, users[-1].phase):
                users.append(now)
            time.sleep(_LOOK_EVERY_S)

    def end(self) -> None:
        """The load ends now; what is still under way counts apart."""
        self._ended = self._ended or time.time()

    def _on_stopping(self, **_: object) -> None:
        self.end()

    def _on_quitting(self, environment: Environment, **_: object) -> None:
        """Writes everything, and has locust exit by the objectives, whatever its own counts say."""
        environment.process_exit_code = MISSED
        options = self._options
        record = RunRecord(
            shape=options.shape,
            mix=options.mix,
            kinds=options.kinds,
            rate_per_user=options.rate_per_user,
            processes=(environment.parsed_options and environment.parsed_options.processes) or 1,
            machine=self._machine,
            users=tuple(self._users),
            ended=self._ended or time.time(),
            tally=self._tally,
        )
        write_record(options.out / NAME, record)
        write_tables(options.out, environment, record)
        if summarise(options.out, record, self._objectives):
            environment.process_exit_code = 0
        print(f"wildgate: {options.out / SUMMARY}.md, .html and .json", file=sys.stderr)
