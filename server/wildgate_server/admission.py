"""The door: a request gets a place at once or is refused at once; nothing queues unbounded behind it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from pydantic import Field

from wildgate_server.config_section import ConfigSection
from wildgate_server.errors import Overloaded, ShuttingDown

__all__ = ["Admission", "AdmissionSettings"]


class AdmissionSettings(ConfigSection):
    """How much work is let in."""

    max_in_flight: int = Field(64, ge=1)
    """Videos in the gateway at once; one more is refused at the door."""
    max_in_flight_mb: int = Field(1024, ge=1)
    """Megabytes of requests in the gateway at once."""
    retry_after_ms: int = Field(250, ge=1)
    """How long a refused caller is asked to wait before it tries again."""
    stream_concurrency: int = Field(16, ge=1)
    """Videos of one stream worked on at once; the stream is not read faster."""
    max_deadline_s: float = Field(60.0, gt=0)
    """The longest a request may take, whatever its caller allows."""


class Admission:
    """Places for videos, counted and weighed in bytes.

    A unary request takes a place or is refused, and comes before streams. A stream waits for one, since not reading
    on is how a stream is slowed down; it holds one video without a place, so what waits is bounded as well.
    """

    def __init__(self, settings: AdmissionSettings) -> None:
        self._settings = settings
        self._max_bytes = settings.max_in_flight_mb << 20
        self._videos = 0
        self._bytes = 0
        self._waiting: deque[asyncio.Event] = deque()
        self._closed = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def in_flight(self) -> int:
        """Videos that hold a place."""
        return self._videos

    @contextmanager
    def admit(self, size: int) -> Iterator[None]:
        """A place for a video of `size` bytes. Raises Overloaded or ShuttingDown at once when there is none."""
        self._refuse_if_closed()
        if not self._fits(size):
            raise Overloaded(
                f"{self._videos} videos ({self._bytes >> 20} MiB) are in flight; no place is free",
                retry_after_s=self._settings.retry_after_ms / 1000,
            )
        with self._place(size):
            yield

    @asynccontextmanager
    async def admit_when_free(self, size: int) -> AsyncIterator[None]:
        """A place for a video of `size` bytes, waited for; first come, first served. Raises ShuttingDown."""
        self._refuse_if_closed()
        turn = asyncio.Event()
        self._waiting.append(turn)
        try:
            while self._waiting[0] is not turn or not self._fits(size):
                await turn.wait()
                turn.clear()
                self._refuse_if_closed()
        finally:
            self._waiting.remove(turn)
            self._wake_next()  # there may be room for more than one, and one that leaves passes its turn on
        with self._place(size):
            yield

    def close(self) -> None:
        """Admits no more videos; waiting callers get ShuttingDown."""
        self._closed = True
        for turn in self._waiting:
            turn.set()

    async def drained(self) -> None:
        """Waits until no video holds a place."""
        await self._empty.wait()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ShuttingDown("this server is draining; ask another", retry_after_s=0.1)

    def _fits(self, size: int) -> bool:
        """Whether there is a place; an empty server takes one video of any permitted size."""
        return self._videos < self._settings.max_in_flight and (
            not self._videos or self._bytes + size <= self._max_bytes
        )

    @contextmanager
    def _place(self, size: int) -> Iterator[None]:
        self._videos += 1
        self._bytes += size
        self._empty.clear()
        try:
            yield
        finally:
            self._videos -= 1
            self._bytes -= size
            if not self._videos:
                self._empty.set()
            self._wake_next()

    def _wake_next(self) -> None:
        if self._waiting:
            self._waiting[0].set()
