"""Verdicts open cases, or join those that their contents have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import insert, or_, select

from wildgate_enforcement.consequences import settle_report, tell_platform
from wildgate_enforcement.policy import EnforcementPolicy
from wildgate_enforcement.ranking import pressing, rank_of, rerank
from wildgate_enforcement.states import DECIDED, WAITING, State
from wildgate_enforcement.tables import CaseRow, EvidenceRow, ReportRow, SkillRow, SubjectRow
from wildgate_enforcement.transaction import Transaction
from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_proto.v1 import scoring_pb2

__all__ = ["Opening", "open_case", "open_cases"]

_MOST_VIEWS = 10**12  # of one video: sums of them stay numbers that databases know
_GROUP_SKILLS = {
    scoring_pb2.LABEL_GROUP_PRODUCT: "product",
    scoring_pb2.LABEL_GROUP_LIVE_ANIMAL: "live_animal",
}


@dataclass(frozen=True, slots=True, eq=False)
class Opening:
    """What asks for a case: a video, and what was found in it."""

    subject: pb.Subject
    verdict: scoring_pb2.Verdict
    sample: bool = False

    @property
    def digest(self) -> str:
        """The content's."""
        return self.verdict.content_digest


async def open_case(
    transaction: Transaction, subject: pb.Subject, verdict: scoring_pb2.Verdict, policy: EnforcementPolicy
) -> CaseRow:
    """The case of one verdict's content."""
    [(case, _)] = await open_cases(transaction, [Opening(subject, verdict)], policy)
    return case


async def open_cases(
    transaction: Transaction, openings: Sequence[Opening], policy: EnforcementPolicy
) -> list[tuple[CaseRow, bool]]:
    """The case of each one's content, and whether it was opened by it. Reports that waited for it are attached.

    Many contents that are new take as many statements as one does.
    """
    first = {opening.digest: opening for opening in reversed(openings)}
    # In one order everywhere, since whoever comes second with a content waits for the first to end.
    rows = [_row(first[digest], policy, transaction.now_ms) for digest in sorted(first)]
    cases = {case.content_digest: case for case in await transaction.insert(CaseRow, rows, ["content_digest"])}
    opened = [first[digest] for digest in cases]
    for opening in opened:
        _log_opened(transaction, cases[opening.digest], opening)
    if known := first.keys() - cases.keys():
        same = select(CaseRow).where(CaseRow.content_digest.in_(known)).order_by(CaseRow.id).with_for_update()
        cases |= {case.content_digest: case for case in await transaction.session.scalars(same)}
    for opening in openings:
        if opening not in opened:
            _keep_if_graver(transaction, cases[opening.digest], opening)
    await _keep_evidence(transaction, cases, opened)
    joined = await _join(transaction, cases, openings)
    await _ask_for_skills(transaction, cases, opened, joined)
    attached = await _attach_reports(transaction, cases, openings)
    ranked = {(cases[opening.digest].id, opening.subject.video_id) for opening in opened}
    changed = {subject.case_id for subject in joined if (subject.case_id, subject.video_id) not in ranked} | attached
    by_id = {case.id: case for case in cases.values()}
    for case_id in sorted(changed):
        await rerank(transaction.session, by_id[case_id], policy.rank)
    for subject in joined:
        if (case := by_id[subject.case_id]).state == State.CONFIRMED:  # nobody needs to look at a copy again
            await tell_platform(transaction, case, [subject])
    return [(cases[each.digest], each in opened) for each in openings]


def _row(opening: Opening, policy: EnforcementPolicy, now_ms: int) -> dict[str, Any]:
    subject, verdict = opening.subject, opening.verdict
    return {
        "id": uuid4().hex,
        "content_digest": opening.digest,
        "state": State.OPEN,
        "verdict": _without_evidence(verdict).SerializeToString(),
        "sample": opening.sample,
        "opened_ms": now_ms,
        "rank": rank_of(pressing(verdict, subject.views, subject.disseminating, now_ms), policy.rank),
    }


def _log_opened(transaction: Transaction, case: CaseRow, opening: Opening) -> None:
    verdict = opening.verdict
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


def _keep_if_graver(transaction: Transaction, case: CaseRow, opening: Opening) -> None:
    """The gravest verdict is kept while the case waits."""
    verdict = opening.verdict
    if case.state in WAITING and verdict.action > scoring_pb2.Verdict.FromString(case.verdict).action:
        case.verdict = _without_evidence(verdict).SerializeToString()
        transaction.log(case.id, "graver_verdict", action=scoring_pb2.Action.Name(verdict.action))


async def _keep_evidence(transaction: Transaction, cases: Mapping[str, CaseRow], opened: Sequence[Opening]) -> None:
    pictures = [
        {"case_id": cases[opening.digest].id, "number": number, "time_s": frame.time_s, "jpeg": frame.jpeg}
        for opening in opened
        for number, frame in enumerate(opening.verdict.evidence)
    ]
    if pictures:
        await transaction.session.execute(insert(EvidenceRow), pictures)


async def _ask_for_skills(
    transaction: Transaction, cases: Mapping[str, CaseRow], opened: Sequence[Opening], joined: Sequence[SubjectRow]
) -> None:
    skills = {
        (cases[opening.digest].id, _GROUP_SKILLS[label.group])
        for opening in opened
        for label in opening.verdict.labels
        if label.group in _GROUP_SKILLS
    }
    skills |= {(each.case_id, f"lang:{each.language}") for each in joined if each.language}
    rows = [{"case_id": case_id, "skill": skill} for case_id, skill in sorted(skills)]
    await transaction.insert(SkillRow, rows, ["case_id", "skill"])


async def _join(
    transaction: Transaction, cases: Mapping[str, CaseRow], openings: Sequence[Opening]
) -> Sequence[SubjectRow]:
    """The videos that were not there before."""
    rows = []
    for opening in openings:
        about = {field.name: getattr(opening.subject, field.name) for field in pb.Subject.DESCRIPTOR.fields}
        about["views"] = min(max(opening.subject.views, 0), _MOST_VIEWS)
        rows.append(about | {"case_id": cases[opening.digest].id, "added_ms": transaction.now_ms})
    joined = await transaction.insert(SubjectRow, rows, ["case_id", "video_id"])
    for subject in joined:
        transaction.log(subject.case_id, "subject_joined", video_id=subject.video_id, account=subject.account)
    return joined


async def _attach_reports(
    transaction: Transaction, cases: Mapping[str, CaseRow], openings: Sequence[Opening]
) -> set[str]:
    """Ids of the cases to which reports were attached."""
    named = {"content_digest": set(cases)}
    for name in ("video_id", "uri"):
        named[name] = {getattr(opening.subject, name) for opening in openings} - {""}
    of_any = [getattr(ReportRow, name).in_(values) for name, values in named.items() if values]
    waiting = select(ReportRow).where(ReportRow.case_id.is_(None), ReportRow.state == "waiting", or_(*of_any))
    attached = set[str]()
    reporters = set[tuple[str, str]]()
    for report in (await transaction.session.scalars(waiting.order_by(ReportRow.id).with_for_update())).all():
        if (opening := next((each for each in openings if _reported(report, each)), None)) is None:
            continue
        case = cases[opening.digest]
        report.case_id = case.id
        report.duplicate = (case.id, report.reporter) in reporters
        reporters.add((case.id, report.reporter))
        transaction.log(case.id, "report_attached", report_id=report.id, weight=report.weight)
        if case.state in DECIDED:
            settle_report(transaction, report, State(case.state))
        attached.add(case.id)
    return attached


def _reported(report: ReportRow, opening: Opening) -> bool:
    """Whether the report is on that content, or names that video and no content."""
    if report.content_digest:
        return report.content_digest == opening.digest
    subject = opening.subject
    return (subject.video_id != "" and report.video_id == subject.video_id) or (
        subject.uri != "" and report.uri == subject.uri
    )


def _without_evidence(verdict: scoring_pb2.Verdict) -> scoring_pb2.Verdict:
    kept = scoring_pb2.Verdict()
    kept.CopyFrom(verdict)
    kept.ClearField("evidence")
    return kept
