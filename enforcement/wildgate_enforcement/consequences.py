"""What follows from a decision: the list of blocks, the platform, and those who reported are told."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from wildgate_enforcement.notices.statement import Source
from wildgate_enforcement.ranking import SETTLED
from wildgate_enforcement.states import State
from wildgate_enforcement.tables import CaseRow, DecisionRow, ReferralRow, ReportRow, SubjectRow
from wildgate_enforcement.transaction import Transaction
from wildgate_proto.v1 import scoring_pb2

_FOUND_BY = {
    "REPORT_SOURCE_TRUSTED_FLAGGER": Source.TRUSTED_FLAGGER,
    "REPORT_SOURCE_NGO_PARTNER": Source.NOTICE,
    "REPORT_SOURCE_USER": Source.NOTICE,
    "REPORT_SOURCE_OFFICER": Source.OTHER_NOTIFICATION,
}
"""Who found it first by rank, for the statement of reasons; search and machines are the platform's own."""

__all__ = ["follow", "settle_report", "tell_platform"]


async def follow(transaction: Transaction, case: CaseRow) -> None:
    """Does all that a case's new state asks for, once it is decided; other states ask for nothing."""
    if case.state not in (State.CONFIRMED, State.HARMLESS):
        return
    case.decided_ms, case.rank = transaction.now_ms, SETTLED
    # What somebody outside may ask for is kept, whatever comes after.
    referred = select(ReferralRow.id).where(ReferralRow.case_id == case.id, ReferralRow.state.in_(("sent", "received")))
    case.frozen = case.state == State.CONFIRMED or await transaction.session.scalar(referred.limit(1)) is not None
    if case.state == State.CONFIRMED:
        case.block_id = f"case-{case.id}"
    if case.block_id:
        # It says no more than that the list is to agree with the case: the order of retries makes no difference.
        transaction.tell("block", case.id, case.id)
    allowed = scoring_pb2.Verdict.FromString(case.verdict).action == scoring_pb2.ACTION_ALLOW
    if case.block_id or not allowed:  # what was allowed and never confirmed was never held back
        subjects = await transaction.session.scalars(select(SubjectRow).where(SubjectRow.case_id == case.id))
        await tell_platform(transaction, case, subjects.all())
    reports = await transaction.session.scalars(select(ReportRow).where(ReportRow.case_id == case.id))
    for report in reports.all():
        settle_report(transaction, report, State(case.state))


async def tell_platform(transaction: Transaction, case: CaseRow, subjects: Sequence[SubjectRow]) -> None:
    """Has the platform told what was decided on each video."""
    await transaction.session.flush()
    decision = await transaction.session.scalar(
        select(DecisionRow)
        .where(DecisionRow.case_id == case.id, ~DecisionRow.withdrawn)
        .order_by(DecisionRow.id.desc())
        .limit(1)
    )
    assert decision is not None  # only decided cases are told
    sources = set(await transaction.session.scalars(select(ReportRow.source).where(ReportRow.case_id == case.id)))
    found_by = next((source for reported, source in _FOUND_BY.items() if reported in sources), Source.OWN_INITIATIVE)
    for subject in subjects:
        transaction.tell(
            "notice",
            f"{case.id}:{subject.video_id}",
            case.id,
            action="remove" if case.state == State.CONFIRMED else "restore",
            video_id=subject.video_id,
            uri=subject.uri,
            account=subject.account,
            listing=subject.listing,
            content_digest=case.content_digest,
            label=decision.label,
            taxon=decision.taxon,
            reason=decision.reason,
            decided_ms=decision.decided_ms,
            known_ms=subject.added_ms,
            found_by=found_by.name,
            appealed=case.appellant is not None,
        )


def settle_report(transaction: Transaction, report: ReportRow, outcome: State | None) -> None:
    """Gives a report its outcome, None where the content could not be looked at, and has the reporter told."""
    state = str(outcome) if outcome else "unresolved"
    if report.state == state:
        return
    report.state = state
    transaction.tell("report_outcome", report.id, report.case_id or "", report_id=report.id, outcome=state)
