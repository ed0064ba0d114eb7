"""What is to be told outside, at least once: taken from the database, tried, tried again later, or given up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import Field
from sqlalchemy import exists, or_, select
from sqlalchemy.orm import aliased

from wildgate_enforcement.database import Database
from wildgate_enforcement.errors import StorageUnavailable
from wildgate_enforcement.tables import DeliveryRow
from wildgate_enforcement.transaction import Transaction
from wildgate_server.config_section import ConfigSection

__all__ = ["DeliveryRefused", "DeliverySettings", "Outbox", "Outgoing", "Send", "TryLater", "replay"]

_log = structlog.get_logger()

_LONGEST_ERROR = 500
_LONGEST_ASKED_S = 86_400.0  # that a receiver may ask to wait


class DeliveryRefused(Exception):
    """Trying again would change nothing; says why."""


class TryLater(Exception):
    """It may pass, and trying again makes no sense before `after_s` seconds."""

    def __init__(self, why: str, after_s: float = 0.0) -> None:
        super().__init__(why)
        self.after_s = after_s


class DeliverySettings(ConfigSection):
    """How what is told outside is tried."""

    attempts: int = Field(20, gt=0)
    """After so many it is given up, and can be replayed."""
    first_wait_s: float = Field(1.0, gt=0)
    """Before the second attempt; each further wait is twice the one before."""
    longest_wait_s: float = Field(3600.0, gt=0)
    """At most."""
    attempt_s: float = Field(60.0, gt=0)
    """How long one attempt may take. Where a crash ended it, the next comes twice as long after its start."""
    at_once: int = Field(16, gt=0)
    """Attempts under way at a time."""
    period_s: float = Field(0.5, gt=0)
    """How often the database is asked for what is due."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One thing to be told. `message_id` is the same at each attempt."""

    id: int
    case_id: str
    kind: str
    message_id: str
    payload: Mapping[str, Any]
    attempt: int


Send = Callable[[Outgoing], Awaitable[None]]
"""Tells one thing. Raises DeliveryRefused where that is final; any other error is taken to pass."""


class Outbox:
    """Tells what waits, by the sender of its kind. What has no sender here waits on."""

    def __init__(self, database: Database, senders: Mapping[str, Send], settings: DeliverySettings) -> None:
        self._database = database
        self._senders = senders
        self._settings = settings
        self._longest_wait_ms = 1e3 * max(_LONGEST_ASKED_S, settings.longest_wait_s, 2 * settings.attempt_s)

    async def run(self) -> None:
        """Runs until it is cancelled; attempts under way are then left to the next start."""
        while True:
            try:
                told = await self.tell_due()
            except StorageUnavailable as error:
                _log.warning("outbox_waits", error=error.message)
                told = 0
            if not told:
                await asyncio.sleep(self._settings.period_s)

    async def tell_due(self) -> int:
        """Makes one attempt at each thing that is due, up to the limit at a time; returns how many those were."""
        due = await self._take()
        await asyncio.gather(*map(self._attempt, due))
        return len(due)

    async def _take(self) -> Sequence[Outgoing]:
        earlier = aliased(DeliveryRow)
        behind = exists().where(
            earlier.lane == DeliveryRow.lane, earlier.id < DeliveryRow.id, earlier.state == "waiting"
        )
        async with self._database.writing("outbox") as transaction:
            due = (
                select(DeliveryRow)
                .where(
                    DeliveryRow.state == "waiting",
                    # What waits longer than anything does, waits for a clock that was put back since.
                    or_(
                        DeliveryRow.next_attempt_ms <= transaction.now_ms,
                        DeliveryRow.next_attempt_ms > transaction.now_ms + self._longest_wait_ms,
                    ),
                    DeliveryRow.kind.in_(sorted(self._senders)),
                    ~behind,
                )
                .order_by(DeliveryRow.next_attempt_ms, DeliveryRow.id)
                .limit(self._settings.at_once)
                .with_for_update(skip_locked=True, of=DeliveryRow)
            )
            rows = (await transaction.session.scalars(due)).all()
            for row in rows:
                row.attempts += 1
                row.next_attempt_ms = transaction.now_ms + round(2e3 * self._settings.attempt_s)
            return [Outgoing(row.id, row.case_id, row.kind, row.message_id, row.payload, row.attempts) for row in rows]

    async def _attempt(self, outgoing: Outgoing) -> None:
        error, final, after_s = "", False, 0.0
        try:
            async with asyncio.timeout(self._settings.attempt_s):
                await self._senders[outgoing.kind](outgoing)
        except DeliveryRefused as refused:
            error, final = str(refused) or "refused", True
        except TryLater as later:
            error, after_s = str(later) or "not now", later.after_s
        except Exception as passing:  # whatever a sender or its receiver does wrong must not stop the others
            error = f"{type(passing).__name__}: {passing}"
        try:
            await self._note(outgoing, error[:_LONGEST_ERROR].replace("\0", "?"), final=final, after_s=after_s)
        except StorageUnavailable as away:  # it is told again, which receivers have to bear
            _log.warning("delivery_not_noted", delivery=outgoing.id, error=away.message)

    async def _note(self, outgoing: Outgoing, error: str, *, final: bool, after_s: float) -> None:
        settings = self._settings
        async with self._database.writing("outbox") as transaction:
            statement = select(DeliveryRow).where(DeliveryRow.id == outgoing.id).with_for_update()
            row = (await transaction.session.scalars(statement)).one()
            if row.state != "waiting" or row.attempts != outgoing.attempt:
                return  # taken for lost meanwhile, and tried by somebody else
            row.last_error = error
            about = {"delivery": row.id, "delivery_kind": row.kind, "message_id": row.message_id}
            if not error:
                row.state = "delivered"
                transaction.log(row.case_id, "delivered", attempts=row.attempts, **about)
            elif final or row.attempts >= settings.attempts:
                row.state = "dead"
                transaction.log(row.case_id, "given_up", attempts=row.attempts, error=error, **about)
                _log.error("delivery_given_up", error=error, attempts=row.attempts, **about)
            else:
                wait_s = min(settings.first_wait_s * 2 ** min(row.attempts - 1, 30), settings.longest_wait_s)
                wait_s = max(wait_s, min(after_s, _LONGEST_ASKED_S))
                row.next_attempt_ms = transaction.now_ms + round(wait_s * 1e3)
                _log.warning("delivery_failed", error=error, again_in_s=wait_s, **about)


async def replay(transaction: Transaction, ids: Sequence[int]) -> list[int]:
    """Has those that were given up tried again, all of them without `ids`; returns which.

    Those are left that something newer in their lane overtook which may have been told: told late, they would undo it.
    """
    newer = aliased(DeliveryRow)
    overtaken = exists().where(newer.lane == DeliveryRow.lane, newer.id > DeliveryRow.id, newer.attempts > 0)
    dead = select(DeliveryRow, overtaken).where(DeliveryRow.state == "dead").order_by(DeliveryRow.id)
    if ids:
        dead = dead.where(DeliveryRow.id.in_(ids))
    again = list[int]()
    for row, superseded in (await transaction.session.execute(dead.with_for_update(of=DeliveryRow))).all():
        row.state = "superseded" if superseded else "waiting"
        row.attempts, row.next_attempt_ms = 0, transaction.now_ms
        if not superseded:
            again.append(row.id)
        transaction.log(row.case_id, "replayed", delivery=row.id, state=row.state)
    return again
