from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine

from wildgate_enforcement import errors
from wildgate_enforcement.database import Database
from wildgate_enforcement.errors import StartError, WildgateError
from wildgate_enforcement.tables import Base


async def test_the_migrations_make_the_tables_that_the_code_knows(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'cases.sqlite'}")
    for _ in range(2):
        await database.migrate()
    await database.close()

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))

    engine = create_engine(f"sqlite:///{tmp_path / 'cases.sqlite'}")
    with engine.connect() as connection:
        assert differences(connection) == []
    engine.dispose()


@pytest.mark.parametrize(
    "url", ["nonsense", "sqlite+aiosqlite:////no/such/folder/x", "postgresql+asyncpg://127.0.0.1:1/x"]
)
async def test_a_database_that_cannot_be_used_is_named_at_the_start(url: str) -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(StartError, match="the database"):
            await opened(url, stack)


async def opened(url: str, stack: AsyncExitStack) -> None:
    database = Database(url)
    stack.push_async_callback(database.close)
    await database.migrate()


async def test_who_goes_first_waits_for_one_writer_alone_and_who_gave_up_is_in_nobodys_way(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'cases.sqlite'}")
    await database.migrate()
    order = list[str]()

    async def write(actor: str, *, first: bool = False) -> None:
        async with database.writing(actor, first=first) as transaction:
            order.append(actor)
            transaction.log("", "tried")

    others = [asyncio.create_task(write(f"other-{number}")) for number in range(4)]
    await asyncio.sleep(0)
    gave_up = asyncio.create_task(write("gave up", first=True))
    first = asyncio.create_task(write("first", first=True))
    while not order:
        await asyncio.sleep(0)
    gave_up.cancel()
    await asyncio.gather(first, gave_up, *others, return_exceptions=True)
    assert order[:2] == ["other-0", "first"]
    assert len(order) == 5
    await database.close()


def test_each_error_is_drawn_with_its_status_and_reason() -> None:
    own = [
        kind
        for name in errors.__all__
        if issubclass(kind := getattr(errors, name), WildgateError) and kind.__module__ == errors.__name__
    ]
    drawn = [line.split()[1:] for line in (errors.__doc__ or "").splitlines() if "─ " in line]
    assert sorted(drawn) == sorted([kind.__name__, kind.status.name, kind.reason] for kind in own)
