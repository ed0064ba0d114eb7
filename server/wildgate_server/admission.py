"""The door: a request gets a place at once or is refused at once; nothing queues unbounded behind it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from math import ceil

from pydantic import Field

from wildgate_server.config_section import ConfigSection
from wildgate_server.errors import Overloaded, ShuttingDown

__all__ = ["Admission", "AdmissionSettings", "Place"]


_AWAY_S = 0.5  # by then a draining server has said good-bye to its connections


class AdmissionSettings(ConfigSection):
    """How much work is let in."""

    max_in_flight: int = Field(64, ge=1)
    """Videos in the gateway at once; one more is refused at the door."""
    max_in_flight_mb: int = Field(1024, ge=1)
    """Megabytes of requests in the gateway at once."""
    max_arriving_mb: int = Field(1024, ge=1)
    """Megabytes of requests on their way in at once, each counted as the largest one; a stream's next one, too."""
    arrival_timeout_s: float = Field(20.0, gt=0)
    """How long a request may take to arrive."""
    answer_timeout_s: float = Field(20.0, gt=0)
    """How long a caller may take to receive an answer; until it has, the video keeps its place."""
    max_streams: int = Field(256, ge=1)
    """Streams open at once."""
    connection_share: float = Field(0.75, gt=0, le=1)
    """The share of places, megabytes and streams that one connection may have."""
    normal_share: float = Field(0.9, gt=0, le=1)
    """The share of places and megabytes that tenants of normal priority may fill together with those of low."""
    low_share: float = Field(0.5, gt=0, le=1)
    """The share that tenants of low priority may fill."""
    retry_after_ms: int = Field(250, ge=1)
    """How long a refused caller is asked to wait before it tries again."""
    stream_concurrency: int = Field(16, ge=1)
    """Videos of one stream worked on at once; the stream is not read faster."""
    max_deadline_s: float = Field(60.0, gt=0)
    """The longest a request may take, whatever its caller allows."""


@dataclass(frozen=True, slots=True)
class _Held:
    videos: int = 0
    bytes: int = 0
    streams: int = 0

    def and_more(self, more: _Held) -> _Held:
        return _Held(self.videos + more.videos, self.bytes + more.bytes, self.streams + more.streams)


_NOTHING = _Held()


@dataclass(eq=False, slots=True)
class Place:
    """A video's place; its size is not known while it arrives."""

    connection: str
    size: int


@dataclass(eq=False, slots=True)
class _Turn:
    connection: str
    size: int
    share: float
    come: asyncio.Event = field(default_factory=asyncio.Event)


class Admission:
    """Places for videos, counted and weighed in bytes, and for streams.

    A unary request takes a place or is refused, and comes before streams. A stream waits for one, since not reading
    on is how a stream is slowed down; it holds one video without a place, so what waits is bounded as well.

    No `connection` has all of them; what has no connection is the server's own, and bounded by the whole alone.
    """

    def __init__(self, settings: AdmissionSettings) -> None:
        self._settings = settings
        self._max_bytes = settings.max_in_flight_mb << 20
        self._whole = _Held()
        self._by_connection: dict[str, _Held] = {}
        self._waiting: deque[_Turn] = deque()
        self._closed = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def in_flight(self) -> int:
        """Videos that hold a place."""
        return self._whole.videos

    @property
    def bytes_in_flight(self) -> int:
        """Bytes of their requests."""
        return self._whole.bytes

    @property
    def waiting(self) -> int:
        """Videos of streams that wait for a place."""
        return len(self._waiting)

    @contextmanager
    def admit(self, size: int = 0, connection: str = "", share: float = 1.0) -> Iterator[Place]:
        """A place for a video of `size` bytes, if no more than this share is taken.

        Raises Overloaded or ShuttingDown at once when there is none.
        """
        self._refuse_if_closed()
        if not self._fits(size, connection, share):
            raise self._overloaded("no place is free")
        with self._place(size, connection) as place:
            yield place

    @asynccontextmanager
    async def admit_when_free(self, size: int, connection: str = "", share: float = 1.0) -> AsyncIterator[Place]:
        """A place for a video of `size` bytes, waited for. Raises ShuttingDown.

        Who may fill more comes first; among equals, who came first.
        """
        self._refuse_if_closed()
        turn = _Turn(connection, size, share)
        self._waiting.append(turn)
        try:
            while self._next() is not turn or not self._fits(size, connection, share):
                await turn.come.wait()
                turn.come.clear()
                self._refuse_if_closed()
        finally:
            self._waiting.remove(turn)
            self._wake_next()  # there may be room for more than one, and one that leaves passes its turn on
        with self._place(size, connection) as place:
            yield place

    @contextmanager
    def stream(self, connection: str) -> Iterator[None]:
        """A stream that is open. Raises Overloaded or ShuttingDown."""
        self._refuse_if_closed()
        most, held = self._settings.max_streams, self._by_connection.get(connection, _NOTHING)
        if self._whole.streams >= most or held.streams >= self._share(most):
            raise self._overloaded(f"{self._whole.streams} streams are open, {held.streams} of them by this connection")
        self._hold(connection, _Held(streams=1))
        try:
            yield
        finally:
            self._hold(connection, _Held(streams=-1))

    def close(self) -> None:
        """Admits no more videos; waiting callers get ShuttingDown."""
        self._closed = True
        for turn in self._waiting:
            turn.come.set()

    async def drained(self) -> None:
        """Waits until no video holds a place."""
        await self._empty.wait()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ShuttingDown("this server is draining; ask another", retry_after_s=_AWAY_S)

    def _overloaded(self, why: str) -> Overloaded:
        return Overloaded(
            f"{self._whole.videos} videos ({self._whole.bytes >> 20} MiB) are in flight; {why}",
            retry_after_s=self._settings.retry_after_ms / 1000,
        )

    def _share(self, whole: int) -> int:
        return ceil(whole * self._settings.connection_share)

    def _fits(self, size: int, connection: str, share: float) -> bool:
        """Whether there is a place; an empty server takes one video of any permitted size."""
        return self._whole.videos < ceil(self._settings.max_in_flight * share) and (
            not self._whole.videos
            or (self._whole.bytes + size <= self._max_bytes * share and not self._has_its_share(connection, size))
        )

    def _has_its_share(self, connection: str, size: int = 0) -> bool:
        held = self._by_connection.get(connection, _NOTHING)
        return bool(connection and held.videos) and (
            held.videos >= self._share(self._settings.max_in_flight) or held.bytes + size > self._share(self._max_bytes)
        )

    @contextmanager
    def _place(self, size: int, connection: str) -> Iterator[Place]:
        place = Place(connection, size)
        self._hold(connection, _Held(videos=1, bytes=size))
        self._empty.clear()
        try:
            yield place
        finally:
            self._hold(connection, _Held(videos=-1, bytes=-place.size))
            if not self._whole.videos:
                self._empty.set()
            self._wake_next()

    def weigh(self, place: Place, size: int) -> None:
        """Says how large the video is that has arrived in a place. Raises Overloaded where that is too much."""
        more, held = size - place.size, self._by_connection[place.connection]
        if self._whole.videos > 1 and self._whole.bytes + more > self._max_bytes:
            raise self._overloaded(f"{size >> 20} MiB more are too many")
        if held.videos > 1 and place.connection and held.bytes + more > self._share(self._max_bytes):
            raise self._overloaded(f"{size >> 20} MiB more are too many for this connection")
        self._hold(place.connection, _Held(bytes=more))
        place.size = size

    def _hold(self, connection: str, more: _Held) -> None:
        held = self._by_connection.get(connection, _NOTHING).and_more(more)
        self._by_connection[connection] = held
        if held == _NOTHING:
            del self._by_connection[connection]
        self._whole = self._whole.and_more(more)

    def _next(self) -> _Turn | None:
        """Whose turn it is: a connection that has its share does not hold up the others."""
        able = (turn for turn in self._waiting if not self._has_its_share(turn.connection, turn.size))
        return max(able, key=lambda turn: turn.share, default=None)

    def _wake_next(self) -> None:
        if turn := self._next():
            turn.come.set()
