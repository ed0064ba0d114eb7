"""Pictures of cases that came to nothing are deleted after a while; those of confirmed ones are kept."""

from __future__ import annotations

import asyncio

import structlog
from sqlalchemy import delete, select

from wildgate_enforcement.database import Database
from wildgate_enforcement.errors import StorageUnavailable
from wildgate_enforcement.states import State
from wildgate_enforcement.tables import CaseRow, EvidenceRow
from wildgate_enforcement.undoing import LONGEST_UNDO_S

__all__ = ["Retention"]

_log = structlog.get_logger()

_DAY_MS = 86_400_000
_AT_ONCE = 100


class Retention:
    """Deletes evidence `days` after a case was judged harmless, unless it is frozen."""

    def __init__(self, database: Database, days: float, period_s: float = 600.0) -> None:
        self._database = database
        self._days = days
        self._period_s = period_s

    async def run(self) -> None:
        """Runs until it is cancelled."""
        while True:
            try:
                while await self.delete_some():
                    pass
            except StorageUnavailable as error:
                _log.warning("retention_waits", error=error.message)
            await asyncio.sleep(self._period_s)

    async def delete_some(self) -> int:
        """Deletes the evidence of some cases; returns of how many. Each is an event of the log."""
        kept_ms = max(round(self._days * _DAY_MS), 1000 * LONGEST_UNDO_S)
        async with self._database.writing("retention") as transaction:
            over = (
                select(CaseRow)
                .where(CaseRow.state == State.HARMLESS, ~CaseRow.frozen)
                .where(CaseRow.decided_ms < transaction.now_ms - kept_ms)
                .where(CaseRow.id.in_(select(EvidenceRow.case_id)))
                .limit(_AT_ONCE)
                .with_for_update(skip_locked=True, of=CaseRow)
            )
            cases = (await transaction.session.scalars(over)).all()
            for case in cases:
                await transaction.session.execute(delete(EvidenceRow).where(EvidenceRow.case_id == case.id))
                transaction.log(case.id, "evidence_deleted", days=self._days)
            return len(cases)
