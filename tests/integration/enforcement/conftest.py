"""Every test of this folder runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from enforcement_under_test import Clock, EnforcementUnderTest, enforcing
from postgres_under_test import RealPostgres, real_postgres

from wildgate_enforcement.database import Database


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealPostgres]:
    home = tmp_path_factory.mktemp("postgres")
    for folder in (home, *home.parents[:3]):  # its user has to get there
        if folder.owner() == Path.home().owner() and os.getuid() == 0:
            folder.chmod(0o711)
    running = real_postgres(home / "data")
    running.start()
    yield running
    running.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'cases.sqlite'}"
    postgres: RealPostgres = request.getfixturevalue("postgres")
    name = f"w{uuid4().hex}"
    connection = await asyncpg.connect(postgres.url().replace("+asyncpg", ""))
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return postgres.url(name)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def database(database_url: str, clock: Clock) -> AsyncIterator[Database]:
    database = Database(database_url, clock)
    await database.migrate()
    yield database
    await database.close()


@pytest.fixture
async def service(database: Database, clock: Clock) -> AsyncIterator[EnforcementUnderTest]:
    async with enforcing(database, clock) as running:
        yield running
