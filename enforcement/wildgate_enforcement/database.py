"""The one place that knows which database there is: SQLite, or PostgreSQL for more than one process."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from time import time
from typing import Any

import aiosqlite
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from wildgate_enforcement.errors import StartError, StorageUnavailable
from wildgate_enforcement.transaction import Transaction

__all__ = ["Database", "wall_clock_ms"]

_MIGRATIONS = Path(__file__).with_name("migrations")
_BUSY_MS = 10_000  # how long SQLite waits for another process
_BEGIN_WRITING = "BEGIN IMMEDIATE"
_MIGRATION_LOCK = 0x77696C64  # any number that is only ours
_CONNECTIONS = 20


def wall_clock_ms() -> int:
    """Milliseconds since 1970."""
    return int(time() * 1e3)


class Database:
    """Transactions on the database at `url`, such as "sqlite+aiosqlite:///cases.sqlite" or "postgresql+asyncpg://...".

    Raises StartError for a URL that cannot be used.
    """

    def __init__(self, url: str, clock_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._clock_ms = clock_ms
        try:
            self._engine = _sqlite(url) if url.startswith("sqlite") else _postgresql(url)
        except (ArgumentError, ModuleNotFoundError, sqlite3.Error) as error:
            raise StartError(f"the database's URL cannot be used: {error}") from error
        # One writer at a time: waiting here is fair and costs nothing. SQLite would poll; in PostgreSQL all would come
        # to wait for the end of the chain, openings behind reviewers.
        self._writer = asyncio.Lock()
        self._writes_to = self._engine
        if self._engine.dialect.name == "sqlite":
            self._writes_to = _sqlite(url, async_creator=partial(_writing_connection, self._engine.url.database))
        # Who goes first waits for the one that has this, and not for all that wait behind it.
        self._others = asyncio.Lock()

    async def migrate(self) -> None:
        """Brings the tables to the state that this version knows. Raises StartError."""
        try:
            async with self._engine.execution_options(immediate=True).begin() as connection:
                if self._engine.dialect.name != "sqlite":
                    await connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
                await connection.run_sync(_upgrade)
        except (SQLAlchemyError, OSError) as error:
            raise StartError(f"the database cannot be opened: {error}") from error

    async def close(self) -> None:
        """Leaves the database."""
        await self._engine.dispose()
        await self._writes_to.dispose()

    @property
    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return self._clock_ms()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session that sees one state and changes nothing. Raises StorageUnavailable."""
        with _translated():
            async with AsyncSession(self._engine) as session:
                yield session

    @asynccontextmanager
    async def writing(self, actor: str, *, first: bool = False) -> AsyncIterator[Transaction]:
        """A transaction of `actor`'s, on disk with its events when the context ends, undone where it raises.

        With `first`, it does not queue behind transactions without. Raises StorageUnavailable.
        """
        with _translated():
            async with AsyncExitStack() as stack:
                if not first:
                    await stack.enter_async_context(self._others)
                await stack.enter_async_context(self._writer)
                bind = self._writes_to.execution_options(immediate=True)
                session = await stack.enter_async_context(AsyncSession(bind, expire_on_commit=False))
                transaction = Transaction(session, actor, self.now_ms)
                yield transaction
                await transaction.append_events()
                await session.commit()


class _translated:
    """Turns the database's own failures into StorageUnavailable; a rule that was broken stays a surprise."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if _away(error) or isinstance(error, (TimeoutError, ConnectionError)):
            raise StorageUnavailable("the database does not answer", retry_after_s=1.0) from error


def _away(error: BaseException | None) -> bool:
    """Whether the same would pass another time: the connection was lost, or others were in the way."""
    if not isinstance(error, DBAPIError):
        return False
    state = str(getattr(error.orig, "sqlstate", None) or "")
    return (
        error.connection_invalidated
        or isinstance(error, (OperationalError, InterfaceError))
        or state[:2] in ("08", "40", "53", "57")  # connection, deadlock, resources, operator
    )


class _WritingConnection(aiosqlite.Connection):
    """Runs statements where they are asked for; only what waits, for the disk or another process, has the thread.

    A thread for each of the four steps of a statement costs more than the steps, since all threads share one lock.
    """

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        connection = self._conn
        if fn in (connection.commit, connection.rollback, connection.close) or args[:1] == (_BEGIN_WRITING,):
            return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]
        return fn(*args, **kwargs)


async def _writing_connection(file: str | None) -> aiosqlite.Connection:
    connection = _WritingConnection(
        partial(sqlite3.connect, file or ":memory:", check_same_thread=False), iter_chunk_size=64
    )
    connection._thread.daemon = True
    return await connection


def _sqlite(url: str, **options: Any) -> AsyncEngine:
    engine = create_async_engine(url, **options)
    # Asked here first: aiosqlite leaves a thread behind where a file cannot be opened.
    sqlite3.connect(engine.url.database or ":memory:").close()

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin as `begin` below says, not as the driver thinks
        cursor = connection.cursor()
        # FULL: what is acknowledged outlives a loss of power.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_BUSY_MS}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads before it writes fails at once under contention unless it began as a writer.
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql(_BEGIN_WRITING if immediate else "BEGIN")

    return engine


def _postgresql(url: str) -> AsyncEngine:
    # Plans that are kept from when there were few cases sort all of them for each claim.
    settings = {"plan_cache_mode": "force_custom_plan", "jit": "off"}
    return create_async_engine(url, pool_size=_CONNECTIONS, max_overflow=0, connect_args={"server_settings": settings})


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
