"""How right verdicts were and how far reviewers agree, by week, drawn from the log of the last weeks."""

from __future__ import annotations

import asyncio
import json

from wildgate_console.ledger import days_before, events_after
from wildgate_enforcement.database import Database
from wildgate_enforcement.quality import quality
from wildgate_enforcement.quality_picture import quality_picture

__all__ = ["QualityChart"]

_DAYS = 84
_KEPT_MS = 600_000


class QualityChart:
    """Drawn anew where the last one is ten minutes old: it takes reading all events of twelve weeks."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = asyncio.Lock()
        self._drawn_ms, self._svg = 0, ""

    async def svg(self) -> str:
        """The picture, of cases that were opened in these weeks. Raises StorageUnavailable."""
        async with self._turn:
            now_ms = self._database.now_ms
            if not self._svg or now_ms - self._drawn_ms > _KEPT_MS:
                async with self._database.reading() as session:
                    after = await days_before(session, now_ms, _DAYS)
                    events = [event async for _, event in events_after(session, after)]
                self._svg, self._drawn_ms = await asyncio.to_thread(_drawn, events), now_ms
            return self._svg


def _drawn(events: list[bytes]) -> str:
    return quality_picture(quality(map(json.loads, events)))
