"""What is stored. Times are milliseconds since 1970; ids of people are those of their tokens."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = [
    "Base",
    "CaseRow",
    "ChainEnd",
    "DecisionRow",
    "DeliveryRow",
    "EventRow",
    "EvidenceRow",
    "ReferralRow",
    "ReportRow",
    "SignedHeadRow",
    "SkillRow",
    "SubjectRow",
]

_Counter = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only what it calls INTEGER


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map = {int: BigInteger, str: Text, bytes: LargeBinary, dict[str, Any]: JSON}  # noqa: RUF012


def _case_id() -> Mapped[str]:
    return mapped_column(String(32), ForeignKey("cases.id"), primary_key=True)


class CaseRow(Base):
    """A case: one content, whatever the platform calls the videos that show it."""

    __tablename__ = "cases"
    __table_args__ = (Index("cases_by_rank", "rank", "id"), Index("cases_by_state", "state", "rank", "id"))

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    content_digest: Mapped[str] = mapped_column(String(128), unique=True)
    state: Mapped[str] = mapped_column(String(16))
    verdict: Mapped[bytes]
    sample: Mapped[bool]
    opened_ms: Mapped[int]
    rank: Mapped[float]
    # The lease. The token grows with each lease, and with whatever ends one early.
    assignee: Mapped[str] = mapped_column(default="")
    leased_until_ms: Mapped[int] = mapped_column(default=0)
    fencing_token: Mapped[int] = mapped_column(default=0)
    snoozed_until_ms: Mapped[int] = mapped_column(default=0)
    second_reason: Mapped[str] = mapped_column(default="")
    decided_ms: Mapped[int] = mapped_column(default=0)
    block_id: Mapped[str] = mapped_column(default="")
    appellant: Mapped[str | None] = mapped_column(default=None)  # None: nobody appealed
    # Kept whatever retention says.
    frozen: Mapped[bool] = mapped_column(default=False)


class SkillRow(Base):
    """A skill that a case asks for."""

    __tablename__ = "case_skills"

    case_id: Mapped[str] = _case_id()
    skill: Mapped[str] = mapped_column(String(64), primary_key=True)


class SubjectRow(Base):
    """A video of the platform's that shows a case's content."""

    __tablename__ = "subjects"
    __table_args__ = (Index("subjects_by_uri", "uri", postgresql_using="hash"),)  # a B-tree takes no text of several KB

    case_id: Mapped[str] = _case_id()
    video_id: Mapped[str] = mapped_column(String(256), primary_key=True, index=True)
    uri: Mapped[str]
    account: Mapped[str] = mapped_column(index=True)
    listing: Mapped[str]
    language: Mapped[str]
    views: Mapped[int]
    disseminating: Mapped[bool]
    added_ms: Mapped[int]


class EvidenceRow(Base):
    """A frame that shows what the verdict rests on."""

    __tablename__ = "evidence"

    case_id: Mapped[str] = _case_id()
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    time_s: Mapped[float]
    jpeg: Mapped[bytes]


class DecisionRow(Base):
    """What a person decided under one lease."""

    __tablename__ = "decisions"
    __table_args__ = (UniqueConstraint("case_id", "fencing_token"),)

    id: Mapped[int] = mapped_column(_Counter, primary_key=True)
    case_id: Mapped[str] = mapped_column(String(32), ForeignKey("cases.id"))
    fencing_token: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    label: Mapped[str]
    taxon: Mapped[str]
    reason: Mapped[str]
    comment: Mapped[str]
    decided_by: Mapped[str]
    decided_ms: Mapped[int]
    withdrawn: Mapped[bool] = mapped_column(default=False)
    undo_until_ms: Mapped[int] = mapped_column(default=0)
    as_it_was: Mapped[dict[str, Any] | None]  # what an undoing puts back


class ReportRow(Base):
    """A report, by the caller's own id of it; without a case while the content is not known here."""

    __tablename__ = "reports"
    __table_args__ = (
        Index("reports_by_reporter", "reporter", "reported_ms"),
        Index("reports_by_uri", "uri", postgresql_using="hash"),
    )

    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    case_id: Mapped[str | None] = mapped_column(String(32), ForeignKey("cases.id"), index=True)
    state: Mapped[str] = mapped_column(String(16))
    subject: Mapped[bytes]
    video_id: Mapped[str] = mapped_column(index=True)
    uri: Mapped[str]
    content_digest: Mapped[str] = mapped_column(String(128), index=True)
    reason: Mapped[str]
    note: Mapped[str]
    reporter: Mapped[str]
    locale: Mapped[str]
    source: Mapped[str] = mapped_column(String(32))
    weight: Mapped[float]
    duplicate: Mapped[bool]
    reported_ms: Mapped[int]


class ReferralRow(Base):
    """A case that is, or may be, handed to somebody outside."""

    __tablename__ = "referrals"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    case_id: Mapped[str] = mapped_column(String(32), ForeignKey("cases.id"), index=True)
    state: Mapped[str] = mapped_column(String(16))
    recipient: Mapped[str]
    reason: Mapped[str]
    proposed_by: Mapped[str]
    proposed_ms: Mapped[int]
    approved_by: Mapped[str] = mapped_column(default="")
    receipt_number: Mapped[str] = mapped_column(default="")
    failure: Mapped[str] = mapped_column(default="")
    frames: Mapped[list[int] | None] = mapped_column(JSON)  # the evidence frames that go in, None for all


class EventRow(Base):
    """One link of the chain."""

    __tablename__ = "events"

    position: Mapped[int] = mapped_column(_Counter, primary_key=True, autoincrement=False)
    case_id: Mapped[str] = mapped_column(String(32), index=True)  # "" where the event is of no case
    canonical: Mapped[bytes]
    hash: Mapped[bytes]


class ChainEnd(Base):
    """The one row that whoever appends events locks."""

    __tablename__ = "chain_end"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    position: Mapped[int]
    hash: Mapped[bytes]


class SignedHeadRow(Base):
    """A signature over the chain up to a position."""

    __tablename__ = "signed_heads"

    position: Mapped[int] = mapped_column(_Counter, primary_key=True, autoincrement=False)
    hash: Mapped[bytes]
    signed_ms: Mapped[int]
    signature: Mapped[bytes]
    public_key: Mapped[bytes]


class DeliveryRow(Base):
    """Something to be told outside, at least once; those of one lane one after the other."""

    __tablename__ = "deliveries"
    __table_args__ = (Index("deliveries_due", "state", "next_attempt_ms"), Index("deliveries_lane", "lane", "id"))

    id: Mapped[int] = mapped_column(_Counter, primary_key=True)
    case_id: Mapped[str] = mapped_column(String(32), index=True)  # "" while there is no case
    kind: Mapped[str] = mapped_column(String(16))
    lane: Mapped[str]
    # The same at each attempt, by which a receiver knows it again.
    message_id: Mapped[str] = mapped_column(String(32), unique=True)
    payload: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    # While an attempt is made: when it is taken for lost.
    next_attempt_ms: Mapped[int]
    last_error: Mapped[str] = mapped_column(default="")
