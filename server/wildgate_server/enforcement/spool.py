"""Cases that could not be opened yet, on disk: what is put here has survived a power cut when `put` returns.

SQLite itself is the queue. The queues that are built on it (persist-queue, litequeue) commit three times for each item
that is delivered, bound neither bytes nor, the one, items, and the other does not sync what it acknowledges.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from wildgate_server.errors import StartError

__all__ = ["Kept", "Spool", "SpoolFailed"]

_FILE = "cases.sqlite"
# `refusal` stands before `request`, so that looking for what is not refused does not read through requests.
_TABLE = """
CREATE TABLE IF NOT EXISTS kept (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, kept_ms INTEGER NOT NULL, refusal TEXT,
    request BLOB NOT NULL
)"""
_SIZES = "SELECT count(*), coalesce(sum(length(request)), 0), count(refusal) FROM kept"
_OLDEST = "SELECT kept_ms FROM kept WHERE refusal IS NULL ORDER BY id LIMIT 1"


class SpoolFailed(Exception):
    """Nothing was changed: the spool is full, or its disk refuses."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An encoded `OpenCaseRequest`, and the name that it was put under."""

    id: int
    name: str
    request: bytes = field(repr=False)


class Spool:
    """A bounded file of cases, for one process; its calls block, and are made by one thread at a time.

    `items` and `size_bytes` count all, `refused` those among them that the service refused. Refused ones are kept, and
    wait again when the spool is next opened. Raises StartError.
    """

    def __init__(self, directory: Path, *, max_items: int, max_bytes: int) -> None:
        self._max_items = max_items
        self._max_bytes = max_bytes
        self.items = self.size_bytes = self.refused = 0
        self.oldest_ms: int | None = None
        """When the oldest of those that wait was put, in milliseconds since 1970."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                directory / _FILE, timeout=0, isolation_level=None, check_same_thread=False
            )
            for statement in (
                "PRAGMA locking_mode = EXCLUSIVE",  # ends with the process, however that ends
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = FULL",
                _TABLE,
                "UPDATE kept SET refusal = NULL WHERE refusal IS NOT NULL",
            ):
                self._database.execute(statement)
            self.items, self.size_bytes, self.refused = self._database.execute(_SIZES).fetchone()
            self._note_oldest()
        except (OSError, sqlite3.Error, SpoolFailed) as error:
            raise StartError(f"enforcement.spool_directory: {directory / _FILE}: {error}") from error

    @property
    def waiting(self) -> int:
        """Cases that are to be delivered."""
        return self.items - self.refused

    @property
    def full(self) -> bool:
        """Whether nothing more is taken, however small."""
        return self.items >= self._max_items or self.size_bytes >= self._max_bytes

    def put(self, name: str, request: bytes, now_ms: int) -> None:
        """Keeps a request, durably; one that is there under this name stays as it is. Raises SpoolFailed."""
        if self.items >= self._max_items or self.size_bytes + len(request) > self._max_bytes:
            raise SpoolFailed(f"the spool is full: {self.items} cases, {self.size_bytes} bytes")
        statement = "INSERT OR IGNORE INTO kept (name, kept_ms, request) VALUES (?, ?, ?)"
        with self._changing() as database:
            added = database.execute(statement, (name, now_ms, request)).rowcount
        self.items += added
        self.size_bytes += added * len(request)
        self._note_oldest()

    def after(self, last: int, limit: int) -> list[Kept]:
        """The oldest that wait and came after number `last`. Raises SpoolFailed."""
        with self._reading() as database:
            rows = database.execute(
                "SELECT id, name, request FROM kept WHERE refusal IS NULL AND id > ? ORDER BY id LIMIT ?", (last, limit)
            )
            return [Kept(*row) for row in rows]

    def settle(self, delivered: Sequence[Kept], refused: Sequence[tuple[Kept, str]]) -> None:
        """Forgets those delivered, and keeps those refused, with why, for people to look at. Raises SpoolFailed."""
        with self._changing() as database:
            database.executemany("DELETE FROM kept WHERE id = ?", [(each.id,) for each in delivered])
            database.executemany("UPDATE kept SET refusal = ? WHERE id = ?", [(why, each.id) for each, why in refused])
        self.items -= len(delivered)
        self.size_bytes -= sum(len(each.request) for each in delivered)
        self.refused += len(refused)
        self._note_oldest()

    def close(self) -> None:
        """Lets go of the file."""
        self._database.close()

    def _note_oldest(self) -> None:
        with self._reading() as database:
            oldest = database.execute(_OLDEST).fetchone()
        self.oldest_ms = oldest[0] if oldest else None

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._database
        except sqlite3.Error as error:
            raise SpoolFailed(f"the spool's disk: {error}") from error

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
