"""What is stored, as messages of the API."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from wildgate_enforcement.errors import NoSuchRecord
from wildgate_enforcement.tables import (
    CaseRow,
    DecisionRow,
    DeliveryRow,
    EvidenceRow,
    ReferralRow,
    ReportRow,
    SkillRow,
    SubjectRow,
)
from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_proto.v1 import scoring_pb2

__all__ = [
    "case_message",
    "delivery_message",
    "delivery_state",
    "referral_message",
    "report_message",
    "stored_case",
    "whole_case",
]

_SUBJECT = [field.name for field in pb.Subject.DESCRIPTOR.fields]
_DECISION = ("label", "taxon", "reason", "comment", "decided_by", "decided_ms", "withdrawn")
_REPORT = ("id", "reason", "note", "reporter", "locale", "weight", "reported_ms", "duplicate")
_REFERRAL = ("id", "case_id", "recipient", "reason", "proposed_by", "approved_by", "receipt_number", "failure")
_DELIVERY = ("id", "case_id", "kind", "attempts", "next_attempt_ms", "last_error")
_CASE = (
    *("id", "content_digest", "sample", "opened_ms", "rank", "assignee", "leased_until_ms", "snoozed_until_ms"),
    *("block_id", "second_reason"),
)


def case_message(case: CaseRow) -> pb.Case:
    """A case by itself, without what belongs to it."""
    return pb.Case(
        state=f"CASE_STATE_{case.state.upper()}",
        verdict=scoring_pb2.Verdict.FromString(case.verdict),
        **{name: getattr(case, name) for name in _CASE},
    )


async def stored_case(session: AsyncSession, case_id: str) -> CaseRow:
    """A case as it is stored. Raises NoSuchRecord."""
    if (case := await session.get(CaseRow, case_id)) is None:
        raise NoSuchRecord(f"no case has the id {case_id[:64]!r}", field="case_id")
    return case


async def whole_case(session: AsyncSession, case: CaseRow) -> pb.Case:
    """A case with all that belongs to it, except the pictures."""
    message = case_message(case)
    subjects = select(SubjectRow).where(SubjectRow.case_id == case.id).order_by(SubjectRow.added_ms)
    for subject in (await session.scalars(subjects)).all():
        message.subjects.add(**{name: getattr(subject, name) for name in _SUBJECT})
    frames = select(func.count()).where(EvidenceRow.case_id == case.id)
    message.evidence_frames = await session.scalar(frames) or 0
    skills = select(SkillRow.skill).where(SkillRow.case_id == case.id).order_by(SkillRow.skill)
    message.skills.extend((await session.scalars(skills)).all())
    reports = select(ReportRow).where(ReportRow.case_id == case.id).order_by(ReportRow.reported_ms, ReportRow.id)
    message.reports.extend(map(report_message, (await session.scalars(reports)).all()))
    decisions = select(DecisionRow).where(DecisionRow.case_id == case.id).order_by(DecisionRow.id)
    for decision in (await session.scalars(decisions)).all():
        message.decisions.add(
            kind=f"KIND_{decision.kind.upper()}",
            **{name: getattr(decision, name) for name in _DECISION},
        )
    referrals = select(ReferralRow).where(ReferralRow.case_id == case.id).order_by(ReferralRow.proposed_ms)
    message.referrals.extend(map(referral_message, (await session.scalars(referrals)).all()))
    return message


def report_message(report: ReportRow) -> pb.Report:
    """A report."""
    return pb.Report(
        case_id=report.case_id or "",
        state=f"STATE_{report.state.upper()}",
        source=report.source,
        **{name: getattr(report, name) for name in _REPORT},
    )


def referral_message(referral: ReferralRow) -> pb.Referral:
    """A referral."""
    return pb.Referral(
        state=f"STATE_{referral.state.upper()}",
        evidence=None if referral.frames is None else pb.EvidenceChoice(frames=referral.frames),
        **{name: getattr(referral, name) for name in _REFERRAL},
    )


def delivery_message(delivery: DeliveryRow) -> pb.Delivery:
    """Something told outside, or to be told."""
    return pb.Delivery(
        state=f"STATE_{delivery.state.upper()}",
        **{name: getattr(delivery, name) for name in _DELIVERY},
    )


def delivery_state(state: pb.Delivery.State) -> str:
    """A state as it is stored."""
    return pb.Delivery.State.Name(state).removeprefix("STATE_").lower()
