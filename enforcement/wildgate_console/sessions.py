"""Who is logged in. Sessions live in this process: a restart ends them, and nothing of them is on disk."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

from wildgate_enforcement.settings import SessionSettings
from wildgate_server.access.tokens import Caller

__all__ = ["Session", "Sessions"]

_MOST = 10_000


@dataclass(slots=True)
class Session:
    """One login. `token` is what it was opened with, to be checked at each request, "" for an identity provider's."""

    caller: Caller
    token: str
    opened: float
    used: float
    id: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    leases: dict[str, int] = field(default_factory=dict)
    """Fencing tokens of the cases that were claimed here."""
    undo: tuple[Mapping[str, int], int] = field(default_factory=lambda: ({}, 0))
    """The cases that were decided last, each with its lease's token, and until when that can be undone."""
    working_since: float = 0.0
    """When the last pause of five minutes or more ended."""

    @property
    def name(self) -> str:
        """Tells this session from others, and is of no use to whoever reads it."""
        return hashlib.sha256(self.id.encode()).hexdigest()[:16]


class Sessions:
    """All sessions. A login always makes a new one, so that no id that was known before is ever worth anything."""

    def __init__(self, settings: SessionSettings, clock: Callable[[], float] = monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._open: OrderedDict[str, Session] = OrderedDict()

    def open(self, caller: Caller, token: str = "") -> Session:
        """Logs somebody in; of very many sessions, the one that was idle longest ends."""
        now = self._clock()
        session = Session(caller, token, now, now, working_since=now)
        self._open[session.id] = session
        while len(self._open) > _MOST:
            self._open.popitem(last=False)
        return session

    def find(self, session_id: str) -> Session | None:
        """The session, unless it has ended; it is used by being found."""
        if (session := self._open.get(session_id)) is None:
            return None
        now = self._clock()
        idle = now - session.used
        if now - session.opened > self._settings.hours * 3600 or idle > self._settings.idle_minutes * 60:
            self.close(session)
            return None
        if idle > 300:
            session.working_since = now
        session.used = now
        self._open.move_to_end(session_id)
        return session

    def wants_break(self, session: Session) -> bool:
        """Whether somebody worked for so long without a pause that one is suggested."""
        most = self._settings.break_every_minutes * 60
        return bool(most) and self._clock() - session.working_since > most

    def close(self, session: Session) -> None:
        """Logs out."""
        self._open.pop(session.id, None)
