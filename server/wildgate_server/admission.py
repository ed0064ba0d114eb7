"""The door: a request gets a place at once or is refused at once; nothing queues unbounded behind it.

Places bound what the gateway holds. Whose work is done first, and how much at once, is decided behind the door
(`turns`); what that tells of the time an answer would take is held here against the time that a caller has.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from math import ceil, inf
from time import monotonic

from pydantic import Field

from wildgate_server.config_section import ConfigSection
from wildgate_server.errors import Overloaded, ShuttingDown
from wildgate_server.limit import GradientLimit
from wildgate_server.turns import Standing

__all__ = ["Admission", "AdmissionSettings", "Place"]


_MARGIN = 1.2  # of what an answer is expected to take: else half of those at the edge would wait in vain
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
    """The share of places, megabytes and streams that one connection, or one tenant, may have while no other wants any;
    several have less each: never more than share / (1 - share) times what is free."""
    normal_share: float = Field(0.9, gt=0, le=1)
    """The share of places and megabytes that tenants of normal priority may fill together with those of low."""
    low_share: float = Field(0.5, gt=0, le=1)
    """The share that tenants of low priority may fill."""
    retry_after_ms: int = Field(250, ge=1)
    """How long a refused caller is asked to wait before it tries again, at least."""
    max_retry_after_s: float = Field(10.0, gt=0)
    """The same, at most: up to then those who are refused are spread, as fast as videos are scored."""
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

    holders: tuple[str, ...]
    size: int


@dataclass(eq=False, slots=True)
class _Turn:
    holders: tuple[str, ...]
    size: int
    share: float
    come: asyncio.Event = field(default_factory=asyncio.Event)


_OWN = Standing()


class Admission:
    """Places for videos, counted and weighed in bytes, and for streams.

    A unary request takes a place or is refused, and comes before streams. A stream waits for one, since not reading
    on is how a stream is slowed down; it holds one video without a place, so what waits is bounded as well.

    No `connection` and no tenant has all of them; what has neither is the server's own, and bounded by the whole alone.
    `limit` tells how long an answer will take; `clock` returns monotonic seconds.
    """

    def __init__(
        self,
        settings: AdmissionSettings,
        limit: GradientLimit | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._settings = settings
        self._limit = limit or GradientLimit(1, settings.max_in_flight, clock)
        self._clock = clock
        self._max_bytes = settings.max_in_flight_mb << 20
        share = settings.connection_share
        self._of_free = share / (1 - share) if share < 1 else inf
        self._whole = _Held()
        self._by_holder: dict[str, _Held] = {}
        self._by_share: Counter[float] = Counter()
        self._waiting: deque[_Turn] = deque()
        self._next_return_s = 0.0
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
    def admit(
        self, size: int = 0, connection: str = "", standing: Standing = _OWN, within_s: float = inf
    ) -> Iterator[Place]:
        """A place for a video of `size` bytes, if no more than its class may fill is taken.

        Raises Overloaded or ShuttingDown at once when there is none, or where a verdict would take longer than
        `within_s`, as far as that can be told, or the line has stood for too long.
        """
        self._refuse_if_closed()
        holders = _holders(connection, standing)
        if not self._fits(size, holders, standing.share):
            raise self._overloaded("no place is free")
        ahead = sum(count for share, count in self._by_share.items() if share >= standing.share)
        if (takes_s := _MARGIN * self._limit.ends_in_s(ahead)) > (most_s := self._limit.patience_s(within_s)):
            raise self._overloaded(f"a verdict would take {takes_s:.1f} s, which is more than {most_s:.1f}")
        with self._place(size, holders, standing.share) as place:
            yield place

    @asynccontextmanager
    async def admit_when_free(self, size: int, connection: str = "", standing: Standing = _OWN) -> AsyncIterator[Place]:
        """A place for a video of `size` bytes, waited for. Raises ShuttingDown.

        The higher class comes first; within it, who came first.
        """
        self._refuse_if_closed()
        turn = _Turn(_holders(connection, standing), size, standing.share)
        self._waiting.append(turn)
        try:
            while self._next() is not turn or not self._fits(size, turn.holders, turn.share):
                await turn.come.wait()
                turn.come.clear()
                self._refuse_if_closed()
        finally:
            self._waiting.remove(turn)
            self._wake_next()  # there may be room for more than one, and one that leaves passes its turn on
        with self._place(size, turn.holders, turn.share) as place:
            yield place

    @contextmanager
    def stream(self, connection: str) -> Iterator[None]:
        """A stream that is open. Raises Overloaded or ShuttingDown."""
        self._refuse_if_closed()
        held, free = self._by_holder.get(connection, _NOTHING), self._settings.max_streams - self._whole.streams
        if free <= 0 or self._is_too_much(held.streams, free):
            raise self._overloaded(f"{self._whole.streams} streams are open, {held.streams} of them by this connection")
        self._hold((connection,), _Held(streams=1))
        try:
            yield
        finally:
            self._hold((connection,), _Held(streams=-1))

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
            retry_after_s=self._return_in_s(),
        )

    def _return_in_s(self) -> float:
        """When one who is refused may come back: one after the other, as fast as places become free.

        Who would have to stay away for longer than is sensible comes between the others.
        """
        now, pace_s = self._clock(), self._limit.pace_s
        soonest_s = now + self._settings.retry_after_ms / 1e3
        self._next_return_s = max(self._next_return_s + pace_s, soonest_s)
        if pace_s and self._next_return_s - now > self._settings.max_retry_after_s:
            self._next_return_s = soonest_s + (self._next_return_s - soonest_s) % pace_s
        return self._next_return_s - now

    def _is_too_much(self, held: int, free: int) -> bool:
        """Whether who holds so much has its share: what is free bounds everybody alike, so something always is.

        After Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", 1998.
        """
        return bool(held) and held >= self._of_free * free

    def _fits(self, size: int, holders: tuple[str, ...], share: float) -> bool:
        """Whether there is a place; an empty server takes one video of any permitted size."""
        return self._whole.videos < ceil(self._settings.max_in_flight * share) and (
            not self._whole.videos
            or (self._whole.bytes + size <= self._max_bytes * share and not self._have_their_share(holders, size))
        )

    def _have_their_share(self, holders: tuple[str, ...], more_bytes: int = 0) -> bool:
        """Whether one of the holders, who hold something, may not have more."""
        free_places = self._settings.max_in_flight - self._whole.videos
        free_bytes = self._max_bytes - self._whole.bytes - more_bytes
        held = [each for holder in holders if (each := self._by_holder.get(holder, _NOTHING)).videos]
        return any(
            self._is_too_much(each.videos, free_places) or each.bytes + more_bytes > self._of_free * free_bytes
            for each in held
        )

    @contextmanager
    def _place(self, size: int, holders: tuple[str, ...], share: float) -> Iterator[Place]:
        place = Place(holders, size)
        self._hold(holders, _Held(videos=1, bytes=size))
        self._by_share[share] += 1
        self._empty.clear()
        try:
            yield place
        finally:
            self._hold(holders, _Held(videos=-1, bytes=-place.size))
            self._by_share[share] -= 1
            if not self._whole.videos:
                self._empty.set()
            self._wake_next()

    def weigh(self, place: Place, size: int) -> None:
        """Says how large the video is that has arrived in a place. Raises Overloaded where that is too much."""
        more = size - place.size
        if self._whole.videos > 1 and self._whole.bytes + more > self._max_bytes:
            raise self._overloaded(f"{size >> 20} MiB more are too many")
        free = self._max_bytes - self._whole.bytes - more
        held = [self._by_holder[holder] for holder in place.holders]
        if any(each.videos > 1 and each.bytes + more > self._of_free * free for each in held):
            raise self._overloaded(f"{size >> 20} MiB more are too many for this connection or tenant")
        self._hold(place.holders, _Held(bytes=more))
        place.size = size

    def _hold(self, holders: tuple[str, ...], more: _Held) -> None:
        for holder in holders:
            held = self._by_holder.get(holder, _NOTHING).and_more(more)
            self._by_holder[holder] = held
            if held == _NOTHING:
                del self._by_holder[holder]
        self._whole = self._whole.and_more(more)

    def _next(self) -> _Turn | None:
        """Whose turn it is: a connection that has its share does not hold up the others."""
        able = (turn for turn in self._waiting if not self._have_their_share(turn.holders, turn.size))
        return max(able, key=lambda turn: turn.share, default=None)

    def _wake_next(self) -> None:
        if turn := self._next():
            turn.come.set()


def _holders(connection: str, standing: Standing) -> tuple[str, ...]:
    """Under which names what is held is counted; those of connections have no space."""
    tenant = f"tenant {standing.tenant}" if standing.tenant not in ("", connection) else ""
    return tuple(filter(None, (connection, tenant)))
