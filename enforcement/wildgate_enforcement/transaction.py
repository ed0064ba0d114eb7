"""One change of the database with all that belongs to it: rows, events of the log, and what is to be told outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy import insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from wildgate_enforcement.errors import NoSuchRecord
from wildgate_enforcement.event_chain import next_link
from wildgate_enforcement.tables import Base, CaseRow, ChainEnd, DeliveryRow, EventRow, ReferralRow

__all__ = ["Transaction"]

_Row = TypeVar("_Row", bound=Base)
_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Transaction:
    """What one caller changes at one time. `actor` is who, `now_ms` is when.

    Nothing is told outside before `tell_from_ms`.
    """

    def __init__(self, session: AsyncSession, actor: str, now_ms: int) -> None:
        self.session = session
        self.actor = actor
        self.now_ms = self.tell_from_ms = now_ms
        self._events: list[dict[str, Any]] = []

    async def case(self, case_id: str) -> CaseRow:
        """A case, locked for this transaction. Raises NoSuchRecord."""
        statement = select(CaseRow).where(CaseRow.id == case_id).with_for_update()
        if (row := await self.session.scalar(statement)) is None:
            raise NoSuchRecord(f"no case has the id {case_id[:64]!r}", field="case_id")
        return row

    async def insert(
        self, table: type[_Row], rows: Sequence[Mapping[str, Any]], unique: Sequence[str]
    ) -> Sequence[_Row]:
        """Adds rows in one statement; returns those that were added, which others with the same `unique` are not.

        Whoever comes second waits for the first to end.
        """
        if not rows:
            return []
        statement = _INSERTS[self.session.get_bind().dialect.name](table)
        statement = statement.on_conflict_do_nothing(index_elements=unique).returning(table)
        return (await self.session.scalars(statement, rows)).all()

    async def referral(self, referral_id: str) -> ReferralRow:
        """A referral, locked for this transaction. Raises NoSuchRecord."""
        statement = select(ReferralRow).where(ReferralRow.id == referral_id).with_for_update()
        if (row := await self.session.scalar(statement)) is None:
            raise NoSuchRecord(f"no referral has the id {referral_id[:64]!r}", field="referral_id")
        return row

    def log(self, case_id: str, kind: str, **details: Any) -> None:
        """Adds an event, which becomes part of the chain when the transaction ends."""
        event = {"case_id": case_id, "kind": kind, "actor": self.actor, "at_ms": self.now_ms, "details": details}
        self._events.append(event)

    def tell(self, kind: str, lane: str, case_id: str = "", **payload: Any) -> None:
        """Has something told outside after the transaction, in order within its lane."""
        self.session.add(
            DeliveryRow(
                case_id=case_id,
                kind=kind,
                lane=f"{kind}:{lane}",
                message_id=uuid4().hex,
                payload=payload,
                state="waiting",
                next_attempt_ms=self.tell_from_ms,
            )
        )

    async def append_events(self) -> None:
        """Appends the events to the chain. Its end is locked from here to the commit, so this comes last."""
        if not self._events:
            return
        await self.session.flush()
        end = (await self.session.execute(select(ChainEnd.position, ChainEnd.hash).with_for_update())).one()
        position, digest = end.position, end.hash
        rows = []
        for event in self._events:
            link = next_link(position + 1, digest, event)
            position, digest = link.position, link.hash
            rows.append(
                {"position": position, "case_id": event["case_id"], "canonical": link.canonical, "hash": digest}
            )
        await self.session.execute(insert(EventRow), rows)
        await self.session.execute(update(ChainEnd).values(position=position, hash=digest))
