"""Every test of this folder runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from enforcement_under_test import Clock, EnforcementUnderTest, enforcing
from postgres_under_test import RealPostgres, real_postgres

from wildgate_enforcement.database import Database


@pytest.fixture(scope="session")
def postgres() -> Iterator[RealPostgres]:
    # Not below pytest's own folder, which each session of the same user closes to others again: another user runs this.
    root = os.environ.get("PYTEST_DEBUG_TEMPROOT")
    with tempfile.TemporaryDirectory(prefix="wildgate-postgres-", dir=root or "/tmp") as home:
        Path(home).chmod(0o711)
        running = real_postgres(Path(home) / "data")
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
