"""Reports: each is weighed, and joins a case, is answered at once, or has its video scored."""

from __future__ import annotations

import hashlib
from typing import Final

from sqlalchemy import func, or_, select

from wildgate_enforcement.consequences import settle_report
from wildgate_enforcement.errors import InvalidRequest, TooManyReports
from wildgate_enforcement.policy import EnforcementPolicy
from wildgate_enforcement.ranking import rerank
from wildgate_enforcement.states import DECIDED, State
from wildgate_enforcement.tables import CaseRow, DeliveryRow, ReportRow, SubjectRow
from wildgate_enforcement.transaction import Transaction
from wildgate_proto.v1 import cases_pb2 as pb

__all__ = ["PRIORS", "file_report", "unresolved"]

_HOUR_MS = 3_600_000

PRIORS: Final = {
    # Right and wrong reports that a reporter starts with: how much one weighs of whom nothing is known.
    pb.REPORT_SOURCE_USER: (1, 1),
    pb.REPORT_SOURCE_TRUSTED_FLAGGER: (9, 1),
    pb.REPORT_SOURCE_NGO_PARTNER: (4, 1),
    pb.REPORT_SOURCE_OFFICER: (9, 1),
    pb.REPORT_SOURCE_SEARCH: (1, 1),
    pb.REPORT_SOURCE_AUTOMATIC: (1, 3),
}


async def file_report(transaction: Transaction, request: pb.ReportRequest, policy: EnforcementPolicy) -> ReportRow:
    """The report as it is filed, or as it was under the same id. Raises InvalidRequest and TooManyReports."""
    session = transaction.session
    if known := await session.get(ReportRow, request.report_id):
        return known
    if request.source not in PRIORS:
        raise InvalidRequest("a report needs a source", field="source")
    await _check_rate(transaction, request, policy)
    case = await _judged_case(transaction, request)
    report = ReportRow(
        id=request.report_id,
        case_id=case.id if case else None,
        state="waiting",
        subject=request.subject.SerializeToString(),
        video_id=request.subject.video_id,
        uri=request.subject.uri,
        content_digest=request.content_digest,
        reason=request.reason,
        note=request.note,
        reporter=request.reporter,
        locale=request.locale,
        source=pb.ReportSource.Name(request.source),
        weight=await _weight(transaction, request),
        duplicate=await _reported_before(transaction, request, case),
        reported_ms=transaction.now_ms,
    )
    session.add(report)
    transaction.log(
        report.case_id or "",
        "reported",
        report_id=report.id,
        reason=report.reason,
        source=report.source,
        weight=report.weight,
        duplicate=report.duplicate,
    )
    if case is None:
        await _have_scored(transaction, request)
    elif case.state in DECIDED:
        settle_report(transaction, report, State(case.state))
    else:
        await rerank(session, case, policy.rank)
    return report


async def unresolved(transaction: Transaction, uri: str) -> None:
    """Tells those who reported what lies at `uri` that it cannot be looked at."""
    waiting = select(ReportRow).where(ReportRow.uri == uri, ReportRow.case_id.is_(None), ReportRow.state == "waiting")
    for report in (await transaction.session.scalars(waiting.with_for_update())).all():
        settle_report(transaction, report, None)
        transaction.log("", "report_unresolved", report_id=report.id)


async def _check_rate(transaction: Transaction, request: pb.ReportRequest, policy: EnforcementPolicy) -> None:
    user = request.source == pb.REPORT_SOURCE_USER
    most = policy.reports_per_hour if user else policy.trusted_reports_per_hour
    of_reporter = (
        select(ReportRow.reported_ms)
        .where(
            ReportRow.reporter == request.reporter,
            ReportRow.reported_ms.between(transaction.now_ms - _HOUR_MS + 1, transaction.now_ms),
        )
        .order_by(ReportRow.reported_ms.desc())
        .limit(most)
    )
    recent = (await transaction.session.scalars(of_reporter)).all()
    if len(recent) == most:
        free_s = (recent[-1] + _HOUR_MS - transaction.now_ms) / 1e3
        raise TooManyReports(f"{most} reports in an hour are all that is taken", retry_after_s=free_s)


async def _judged_case(transaction: Transaction, request: pb.ReportRequest) -> CaseRow | None:
    """The case that speaks for what was reported, None where the content has to be looked at first.

    A digest names the content. Without one, a case that waits takes the report, but a judgement does not answer it if
    the video can be fetched: what lies behind its id may have changed since.
    """
    statement = select(CaseRow).with_for_update().order_by(CaseRow.opened_ms.desc()).limit(1)
    if request.content_digest:
        return await transaction.session.scalar(statement.where(CaseRow.content_digest == request.content_digest))
    subject = request.subject
    named = [
        column == value
        for column, value in ((SubjectRow.video_id, subject.video_id), (SubjectRow.uri, subject.uri))
        if value
    ]
    if not named:
        raise InvalidRequest("a report is on a video_id, a uri or a content_digest", field="subject")
    of_subject = CaseRow.id.in_(select(SubjectRow.case_id).where(or_(*named)))
    case = await transaction.session.scalar(statement.where(of_subject))
    return None if case and case.state == State.HARMLESS and subject.uri else case


async def _weight(transaction: Transaction, request: pb.ReportRequest) -> float:
    """How often the reporter was right, as a share that starts at what the source is trusted."""
    right, wrong = PRIORS[request.source]
    counted = (
        select(ReportRow.state, func.count())
        .where(ReportRow.reporter == request.reporter, ~ReportRow.duplicate)
        .where(ReportRow.state.in_(("confirmed", "harmless")))
        .group_by(ReportRow.state)
    )
    record = {row[0]: row[1] for row in await transaction.session.execute(counted)}
    right += record.get("confirmed", 0)
    return right / (right + wrong + record.get("harmless", 0))


async def _reported_before(transaction: Transaction, request: pb.ReportRequest, case: CaseRow | None) -> bool:
    if case is None:
        return False  # it is known when a case is there
    same = select(ReportRow.id).where(ReportRow.case_id == case.id, ReportRow.reporter == request.reporter).limit(1)
    return await transaction.session.scalar(same) is not None


async def _have_scored(transaction: Transaction, request: pb.ReportRequest) -> None:
    """Has the video scored once, however many report it; without a URI its case is waited for."""
    subject = request.subject
    if not subject.uri:
        return
    lane = hashlib.sha256(subject.uri.encode()).hexdigest()  # PostgreSQL indexes no text of several KB
    same = select(DeliveryRow.id).where(DeliveryRow.lane == f"score:{lane}", DeliveryRow.state == "waiting")
    if await transaction.session.scalar(same.limit(1)) is None:
        fields = {field.name: getattr(subject, field.name) for field in pb.Subject.DESCRIPTOR.fields}
        transaction.tell("score", lane, **fields)
