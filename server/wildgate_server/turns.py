"""Whose turn it is: videos are looked at in an order, and as many at once as the machine does well.

Who waits here has its message received and is sampled, which costs little. What comes next costs most of a video's
time, so the order is decided here: the higher class first. Within it time is shared by what videos cost, not by their
number: those that cost twice as much as usual, four times, and so on, are lines of their own, and while all wait, each
line has half the time of the one before it. So a few long videos, honest or not, make short ones wait little, however
many callers send them, and have a part of the time for certain. Within a line the tenant comes next that has least
under way, of one tenant's who came first.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from math import frexp
from time import monotonic

from wildgate_server.errors import DeadlineExceeded
from wildgate_server.limit import GradientLimit

__all__ = ["Standing", "Turn", "Turns"]

_LINES = 5  # the last is for what costs 16 times as much as usual, or more


@dataclass(frozen=True, slots=True)
class Standing:
    """Whom a video is for: a tenant, or the connection that it came by where it has none, and its class.

    `share` is what its class may fill of the whole; the more, the higher the class.
    """

    tenant: str = ""
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class _Line:
    """Videos of a class that cost alike: 2 to the power of `number` times as much as usual, or up to twice that."""

    share: float
    number: int

    @classmethod
    def of(cls, standing: Standing, work: float) -> _Line:
        return cls(standing.share, min(max(frexp(work)[1] - 1, 0), _LINES - 1))


@dataclass(eq=False, slots=True)
class _Waiting:
    standing: Standing
    line: _Line
    work: float
    come: asyncio.Future[None]
    resumes: bool = False


class _Shares:
    """Start-time fair queueing among the lines of each class: who has had least of its share comes next.

    P. Goyal, H. M. Vin, H. Cheng, "Start-time Fair Queueing: A Scheduling Algorithm for Integrated Services Packet
    Switching Networks", 1996.
    """

    def __init__(self) -> None:
        self._had: dict[_Line, float] = {}
        self._now: dict[float, float] = {}  # by class: a line that comes anew has missed nothing

    def had(self, line: _Line) -> float:
        """What a line has had, in work by its share."""
        return max(self._had.get(line, 0.0), self._now.get(line.share, 0.0))

    def take(self, line: _Line, work: float) -> None:
        """So much more, of which no line that waits has had less."""
        self._now[line.share] = had = self.had(line)
        self._had[line] = had + work * 2**line.number


class Turns:
    """Turns for work, as many at once as `limit` says, which learns from them; `clock` returns monotonic seconds."""

    def __init__(self, limit: GradientLimit, clock: Callable[[], float] = monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._under_way: Counter[str] = Counter()  # by tenant
        self._waiting: list[_Waiting] = []
        self._shares = _Shares()

    @property
    def under_way(self) -> int:
        """Turns that are taken."""
        return self._under_way.total()

    @property
    def limit(self) -> int:
        """How many may be taken at present."""
        return self._limit.limit

    @property
    def waiting(self) -> int:
        """Videos that wait for one."""
        return len(self._waiting)

    @asynccontextmanager
    async def turn(
        self, standing: Standing, deadline: float, *, work: float = 1.0, needed: bool = True
    ) -> AsyncIterator[Turn]:
        """A turn, waited for. Raises DeadlineExceeded where work that begins now cannot end before `deadline`.

        `work` is what is to be done, in usual videos. Where no turn is `needed`, since the work holds up nobody who has
        one, there is none, and nothing to wait for.
        """
        if not needed:
            with self.apart():
                yield Turn(self, standing, work, 0.0, held=False)
            return
        came_s = self._clock()
        await self._take(standing, _Line.of(standing, work), work)
        began_s, at_once = self._clock(), self.under_way
        turn = Turn(self, standing, work, (began_s - came_s) * 1e3)
        try:
            if deadline - began_s < self._limit.usual_s:
                raise DeadlineExceeded("the deadline is too near for the video to be scored before it")
            yield turn
            took_s = self._clock() - began_s - turn.aside_s  # of work that fails it says nothing
            self._limit.sample(took_s, max(at_once, self.under_way), full=bool(self._waiting))
        finally:
            if turn.held:
                self._leave(standing)

    @contextmanager
    def apart(self, *, when: bool = True) -> Iterator[None]:
        """For what holds a place at the door and will take no turn, such as who waits for an equal video's verdict."""
        self._limit.apart += when
        try:
            yield
        finally:
            self._limit.apart -= when

    async def _take(self, standing: Standing, line: _Line, work: float, *, resumes: bool = False) -> None:
        waiting = _Waiting(standing, line, work, asyncio.get_running_loop().create_future(), resumes)
        self._waiting.append(waiting)
        self._call_next()
        try:
            await waiting.come
        except asyncio.CancelledError:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            elif not waiting.come.cancelled():  # it was called just as its caller left
                self._leave(standing)
            raise

    def _leave(self, standing: Standing) -> None:
        self._under_way[standing.tenant] -= 1
        if not self._under_way[standing.tenant]:
            del self._under_way[standing.tenant]
        self._call_next()

    def _call_next(self) -> None:
        while self._waiting and self.under_way < self._limit.limit:
            following = min(self._waiting, key=self._rank)  # of equals, the first
            self._waiting.remove(following)
            if not following.come.cancelled():
                self._under_way[following.standing.tenant] += 1
                self._shares.take(following.line, following.work)
                following.come.set_result(None)

    def _rank(self, waiting: _Waiting) -> tuple[float, float, bool, int]:
        line, under_way = waiting.line, self._under_way[waiting.standing.tenant]
        return -line.share, self._shares.had(line), not waiting.resumes, under_way


@dataclass(eq=False, slots=True)
class Turn:
    """A turn for `work` that was waited for `waited_ms`; seconds that it was `aside` do not count as work."""

    _turns: Turns
    _standing: Standing
    work: float
    waited_ms: float
    aside_s: float = 0.0
    held: bool = True

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """Lets others have the turn while something else is waited for, then goes on.

        What is to be done then is added to `work` meanwhile; of those in its line it comes before all that have not
        begun.
        """
        if not self.held:
            yield
            return
        turns = self._turns
        left_s, done, self.held = turns._clock(), self.work, False
        turns._leave(self._standing)
        try:
            yield
            line = _Line.of(self._standing, self.work)
            await turns._take(self._standing, line, self.work - done, resumes=True)
            self.held = True
        finally:
            self.aside_s += turns._clock() - left_s
