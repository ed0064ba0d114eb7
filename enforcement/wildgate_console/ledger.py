"""What the log says of people's work, counted once and then followed: frames seen, and what was decided, by day."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from datetime import UTC, datetime

from sqlalchemy import select

from wildgate_enforcement.database import Database
from wildgate_enforcement.tables import EventRow

__all__ = ["Ledger", "day_of"]

_BATCH = 2000


def day_of(at_ms: int) -> str:
    """The day in UTC, such as "2026-11-29"."""
    return datetime.fromtimestamp(at_ms / 1e3, UTC).strftime("%Y-%m-%d")


class Ledger:
    """Counts from the events alone, so that all processes on one database agree."""

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
            while True:
                after = select(EventRow).where(EventRow.position > self._position).order_by(EventRow.position)
                rows = (
                    await session.execute(after.with_only_columns(EventRow.position, EventRow.canonical).limit(_BATCH))
                ).all()
                for position, canonical in rows:
                    self._count(json.loads(canonical))
                    self._position = position
                if len(rows) < _BATCH:
                    return

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
