"""Messages on their way in: how many there may be at once, how long each may take, and who gives way.

gRPC makes room for a whole message as soon as it is asked for one, and Python cannot see how much of it has come. So
each message that is waited for counts as the largest, an idle stream's next one too, and is only asked for where there
is room. Those wait first whose host and connection have least; where there is no room, the one that has had it longest
gives way, of the host and the connection that have most. Many small callers are not to starve behind one large.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeVar

from wildgate_server.errors import DeadlineExceeded, Overloaded

__all__ = ["Arrivals", "host_of"]

T = TypeVar("T")

# A message of 64 MB takes 0.6 s at 1 Gbit/s.
_SURE_S = 5.0  # how long room is one's own, whoever else wants it
_SURE_OF_MORE_S = 0.5  # the same for who has more of it than who wants some
_POLL_S = 0.05


@dataclass(eq=False, slots=True)
class _Arrival:
    connection: str
    scope: asyncio.Timeout
    since: float = 0.0
    gave_way: bool = False
    turn: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def host(self) -> str:
        return host_of(self.connection)


class Arrivals:
    """Room for `places` messages at a time, each of which may be the largest."""

    def __init__(self, places: int, clock: Callable[[], float] = monotonic) -> None:
        self._places = places
        self._clock = clock
        self._arriving: list[_Arrival] = []
        self._waiting: deque[_Arrival] = deque()

    @property
    def arriving(self) -> int:
        """Messages that have room, whether anything of them has come or not."""
        return len(self._arriving)

    async def read(self, message: Callable[[], Awaitable[T]], connection: str, timeout_s: float | None = None) -> T:
        """What `message()` receives over `connection`, gRPC's name for the caller's end, once there is room for it.

        Raises DeadlineExceeded when it has not come after `timeout_s`, Overloaded when it had to give way.
        """
        arrival = _Arrival(connection, asyncio.timeout(timeout_s))
        try:
            async with arrival.scope:
                await self._enter(arrival)
                return await message()
        except TimeoutError:
            if arrival.gave_way:
                raise Overloaded(
                    "other callers' messages needed the room that is kept for the next message of this one",
                    retry_after_s=0.1,
                ) from None
            raise DeadlineExceeded(f"the message had not arrived after {timeout_s:g} s") from None
        finally:
            self._leave(arrival)

    async def _enter(self, arrival: _Arrival) -> None:
        self._waiting.append(arrival)
        try:
            while self._next() is not arrival or not (self._is_room() or self._make_room(arrival)):
                with suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_S):  # what has room grows older, and may then give way
                        await arrival.turn.wait()
                arrival.turn.clear()
            arrival.since = self._clock()
            self._arriving.append(arrival)
        finally:
            self._waiting.remove(arrival)
            self._wake_next()

    def _leave(self, arrival: _Arrival) -> None:
        if arrival in self._arriving:
            self._arriving.remove(arrival)
            self._wake_next()

    def _is_room(self) -> bool:
        return len(self._arriving) < self._places

    def _make_room(self, wanted: _Arrival) -> bool:
        """Has another message give way, if one may have to."""
        hosts, connections = self._taken()
        first = min(self._arriving, key=lambda each: (-hosts[each.host], -connections[each.connection], each.since))
        has_more = (
            hosts[first.host] > hosts[wanted.host] + 1
            or connections[first.connection] > connections[wanted.connection] + 1
        )
        crowd = len({each.connection for each in self._waiting}) / self._places
        if self._clock() - first.since < (_SURE_OF_MORE_S if has_more else _SURE_S) / (1 + crowd):
            return False
        self._arriving.remove(first)
        first.gave_way = True
        first.scope.reschedule(0.0)
        return True

    def _taken(self) -> tuple[Counter[str], Counter[str]]:
        """How much room hosts and connections have."""
        return Counter(each.host for each in self._arriving), Counter(each.connection for each in self._arriving)

    def _next(self) -> _Arrival:
        """Of those that wait, the first one of those that have least."""
        hosts, connections = self._taken()
        return min(self._waiting, key=lambda each: (hosts[each.host], connections[each.connection]))

    def _wake_next(self) -> None:
        if self._waiting:
            self._next().turn.set()


def host_of(connection: str) -> str:
    """The host of gRPC's name for a caller's end of a connection, such as `ipv4:192.0.2.1:50000`."""
    return connection.rpartition(":")[0]
