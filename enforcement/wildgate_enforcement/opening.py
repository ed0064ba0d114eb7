"""A verdict opens a case, or joins the one that its content has."""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import or_, select

from wildgate_enforcement.consequences import settle_report, tell_platform
from wildgate_enforcement.policy import EnforcementPolicy
from wildgate_enforcement.ranking import pressing, rank_of, rerank
from wildgate_enforcement.states import DECIDED, WAITING, State
from wildgate_enforcement.tables import CaseRow, EvidenceRow, ReportRow, SkillRow, SubjectRow
from wildgate_enforcement.transaction import Transaction
from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_proto.v1 import scoring_pb2

__all__ = ["open_case"]

_MOST_VIEWS = 10**12  # of one video: sums of them stay numbers that databases know
_GROUP_SKILLS = {
    scoring_pb2.LABEL_GROUP_PRODUCT: "product",
    scoring_pb2.LABEL_GROUP_LIVE_ANIMAL: "live_animal",
}


async def open_case(
    transaction: Transaction,
    subject: pb.Subject,
    verdict: scoring_pb2.Verdict,
    policy: EnforcementPolicy,
    *,
    sample: bool = False,
) -> tuple[CaseRow, bool]:
    """The case of the verdict's content, and whether it was opened now. Reports that waited for it are attached."""
    case = await transaction.open(
        id=uuid4().hex,
        content_digest=verdict.content_digest,
        state=State.OPEN,
        verdict=_without_evidence(verdict).SerializeToString(),
        sample=sample,
        opened_ms=transaction.now_ms,
        rank=rank_of(pressing(verdict, subject.views, subject.disseminating, transaction.now_ms), policy.rank),
    )
    if opened := case is not None:
        _keep_verdict(transaction, case, verdict)
    else:
        case = await _known(transaction, verdict)
    joined = opened or await transaction.session.get(SubjectRow, (case.id, subject.video_id)) is None
    if joined:
        await _join(transaction, case, subject)
    attached = await _attach_reports(transaction, case, subject)
    if attached or (joined and not opened):
        await rerank(transaction.session, case, policy.rank)
    return case, opened


async def _known(transaction: Transaction, verdict: scoring_pb2.Verdict) -> CaseRow:
    """The case that the verdict's content has; the gravest verdict is kept while it waits."""
    same = select(CaseRow).where(CaseRow.content_digest == verdict.content_digest).with_for_update()
    case = (await transaction.session.scalars(same)).one()
    if case.state in WAITING and verdict.action > scoring_pb2.Verdict.FromString(case.verdict).action:
        case.verdict = _without_evidence(verdict).SerializeToString()
        transaction.log(case.id, "graver_verdict", action=scoring_pb2.Action.Name(verdict.action))
    return case


def _keep_verdict(transaction: Transaction, case: CaseRow, verdict: scoring_pb2.Verdict) -> None:
    transaction.session.add_all(
        EvidenceRow(case_id=case.id, number=number, time_s=frame.time_s, jpeg=frame.jpeg)
        for number, frame in enumerate(verdict.evidence)
    )
    skills = {_GROUP_SKILLS[label.group] for label in verdict.labels if label.group in _GROUP_SKILLS}
    transaction.session.add_all(SkillRow(case_id=case.id, skill=skill) for skill in sorted(skills))
    transaction.log(
        case.id,
        "opened",
        content_digest=case.content_digest,
        action=scoring_pb2.Action.Name(verdict.action),
        labels=sorted({label.label for label in verdict.labels}),
        block_matches=[match.block_id for match in verdict.block_matches],
        model_version=verdict.model_version,
        policy_version=verdict.policy_version,
        sample=case.sample,
    )


async def _join(transaction: Transaction, case: CaseRow, subject: pb.Subject) -> None:
    session = transaction.session
    fields = {field.name: getattr(subject, field.name) for field in pb.Subject.DESCRIPTOR.fields}
    fields["views"] = min(max(subject.views, 0), _MOST_VIEWS)
    row = SubjectRow(case_id=case.id, added_ms=transaction.now_ms, **fields)
    session.add(row)
    if subject.language and not await session.get(SkillRow, (case.id, f"lang:{subject.language}")):
        session.add(SkillRow(case_id=case.id, skill=f"lang:{subject.language}"))
    transaction.log(case.id, "subject_joined", video_id=subject.video_id, account=subject.account)
    if case.state == State.CONFIRMED:  # a copy of what is forbidden: nobody needs to look again
        await tell_platform(transaction, case, [row])


async def _attach_reports(transaction: Transaction, case: CaseRow, subject: pb.Subject) -> bool:
    same = [ReportRow.content_digest == case.content_digest]
    for column, value in ((ReportRow.video_id, subject.video_id), (ReportRow.uri, subject.uri)):
        if value:
            same.append((column == value) & ReportRow.content_digest.in_(("", case.content_digest)))
    waiting = select(ReportRow).where(ReportRow.case_id.is_(None), ReportRow.state == "waiting", or_(*same))
    reports = (await transaction.session.scalars(waiting.with_for_update())).all()
    reporters = set[str]()
    for report in reports:
        report.case_id = case.id
        report.duplicate = report.reporter in reporters
        reporters.add(report.reporter)
        transaction.log(case.id, "report_attached", report_id=report.id, weight=report.weight)
        if case.state in DECIDED:
            settle_report(transaction, report, State(case.state))
    return bool(reports)


def _without_evidence(verdict: scoring_pb2.Verdict) -> scoring_pb2.Verdict:
    kept = scoring_pb2.Verdict()
    kept.CopyFrom(verdict)
    kept.ClearField("evidence")
    return kept
