"""What people's work is counted from."""

from __future__ import annotations

from pathlib import Path

from enforcement_under_test import Clock

from wildgate_console.ledger import DAYS, Ledger, day_of
from wildgate_enforcement.database import Database


async def test_the_last_days_are_counted_and_what_comes_then(tmp_path: Path) -> None:
    clock = Clock()
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/cases.db", clock)
    await database.migrate()

    async def log(kind: str) -> None:
        async with database.writing("ann") as transaction:
            transaction.log("", kind)

    try:
        ledger = Ledger(database)
        assert await ledger.seen_today("ann") == 0, "there is no log yet"
        for _ in range(3 * DAYS):
            clock.advance(86_400)
            await log("decided")
        late = Ledger(database)
        await late.follow()
        assert len(late.decided) == DAYS + 1
        await log("evidence_seen")
        assert (await late.seen_today("ann"), await ledger.seen_today("ann")) == (1, 1)
        assert late.decided[day_of(clock.now_ms)]["ann"] == 1
    finally:
        await database.close()
