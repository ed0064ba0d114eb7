"""How much waits for people, and how much waits to be told: what Prometheus is told, asked of the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import time

import structlog
from sqlalchemy import func, select

from wildgate_enforcement.database import Database
from wildgate_enforcement.errors import StorageUnavailable
from wildgate_enforcement.states import WAITING, State
from wildgate_enforcement.tables import CaseRow, DeliveryRow
from wildgate_server.server_metrics import ServerMetrics

__all__ = ["Figures"]

_log = structlog.get_logger()


class Figures:
    """Counts anew every `period_s`: to count all cases takes a moment. `clock` returns seconds since 1970."""

    def __init__(
        self,
        database: Database,
        metrics: ServerMetrics,
        period_s: float = 60.0,
        clock: Callable[[], float] = time,
    ) -> None:
        self._database = database
        self._clock = clock
        self._period_s = period_s
        self._cases: Mapping[str, int] = {}
        self._outbox: Mapping[str, int] = {}
        self._opened_ms: int | None = None
        self._due_ms: int | None = None
        metrics.gauges("wildgate_enforcement_cases", "Cases by state.", ["state"], self._by_state)
        metrics.gauge(
            "wildgate_enforcement_oldest_open_case_seconds",
            "For how long the oldest case that waits for people has waited.",
            lambda: self._since_s(self._opened_ms),
        )
        about = "Consequences that are still to be told."
        metrics.gauge("wildgate_enforcement_outbox_waiting", about, lambda: self._outbox.get("waiting", 0))
        about = "Consequences that were tried in vain until they were given up."
        metrics.gauge("wildgate_enforcement_outbox_dead", about, lambda: self._outbox.get("dead", 0))
        metrics.gauge(
            "wildgate_enforcement_outbox_oldest_seconds",
            "For how long the one that is due longest has waited for its next attempt.",
            lambda: self._since_s(self._due_ms),
        )

    async def run(self) -> None:
        """Runs until it is cancelled."""
        while True:
            try:
                await self.count()
            except StorageUnavailable as error:
                _log.warning("figures_wait", error=error.message)
            await asyncio.sleep(self._period_s)

    async def count(self) -> None:
        """Counts once. Raises StorageUnavailable."""
        cases = select(CaseRow.state, func.count(), func.min(CaseRow.opened_ms)).group_by(CaseRow.state)
        waiting = DeliveryRow.state.in_(("waiting", "dead"))
        deliveries = (
            select(DeliveryRow.state, func.count(), func.min(DeliveryRow.next_attempt_ms))
            .where(waiting)
            .group_by(DeliveryRow.state)
        )
        async with self._database.reading() as session:
            by_state = (await session.execute(cases)).all()
            by_outcome = (await session.execute(deliveries)).all()
        self._cases = {state: count for state, count, _ in by_state}
        self._opened_ms = min((opened for state, _, opened in by_state if state in WAITING), default=None)
        self._outbox = {state: count for state, count, _ in by_outcome}
        self._due_ms = next((due for state, _, due in by_outcome if state == "waiting"), None)

    def _by_state(self) -> dict[tuple[str, ...], float]:
        return {(state.value,): self._cases.get(state, 0) for state in State}

    def _since_s(self, moment_ms: int | None) -> float:
        return 0.0 if moment_ms is None else max(self._clock() - moment_ms / 1e3, 0.0)
