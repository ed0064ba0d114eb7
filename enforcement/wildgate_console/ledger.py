"""What the log says of people's work, counted once and then followed: frames seen, and what was decided, by day."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from wildgate_enforcement.database import Database
from wildgate_enforcement.tables import EventRow

__all__ = ["DAYS", "Ledger", "day_of", "days_before", "events_after"]

DAYS = 14
"""How far back it counts, at least."""
_BATCH = 2000
_DAY_MS = 86_400_000


def day_of(at_ms: int) -> str:
    """The day in UTC, such as "2026-11-29"."""
    return datetime.fromtimestamp(at_ms / 1e3, UTC).strftime("%Y-%m-%d")


async def days_before(session: AsyncSession, now_ms: int, days: int) -> int:
    """The position of the last event before the day (UTC) so many days ago began, 0 where there is none.

    Found by halves: the log is in the order of time.
    """
    first, last = 0, await session.scalar(select(func.max(EventRow.position))) or 0
    began_ms = now_ms - now_ms % _DAY_MS - days * _DAY_MS
    while first < last:
        middle = (first + last + 1) // 2
        event = select(EventRow.canonical).where(EventRow.position == middle)
        is_before = json.loads((await session.scalars(event)).one())["at_ms"] < began_ms
        first, last = (middle, last) if is_before else (first, middle - 1)
    return first


async def events_after(session: AsyncSession, position: int) -> AsyncIterator[tuple[int, bytes]]:
    """Positions and events that follow, in order."""
    while True:
        columns = select(EventRow.position, EventRow.canonical).where(EventRow.position > position)
        rows = (await session.execute(columns.order_by(EventRow.position).limit(_BATCH))).all()
        for position, canonical in rows:
            yield position, canonical
        if len(rows) < _BATCH:
            return


class Ledger:
    """Counts from the events of the last days alone, so that all processes on one database agree."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._position = 0
        self._turn = asyncio.Lock()
        self.seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """Evidence frames by day and person."""
        self.decided: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """Decisions by day and person."""
        self.opened: Counter[str] = Counter()
        """Cases by day."""

    async def follow(self) -> None:
        """Reads what was added since. Raises StorageUnavailable."""
        async with self._turn, self._database.reading() as session:
            self._position = self._position or await days_before(session, self._database.now_ms, DAYS)
            async for position, canonical in events_after(session, self._position):
                self._count(json.loads(canonical))
                self._position = position

    def _count(self, event: dict[str, object]) -> None:
        day, actor = day_of(int(str(event["at_ms"]))), str(event["actor"])
        match event["kind"]:
            case "evidence_seen":
                self.seen[day][actor] += 1
            case "decided":
                self.decided[day][actor] += 1
            case "opened":
                self.opened[day] += 1

    async def seen_today(self, person: str) -> int:
        """How many evidence frames somebody was shown today."""
        await self.follow()
        return self.seen[day_of(self._database.now_ms)][person]
