"""Which case comes first.

Every waiting case gains the same by the hour, so their order changes only when something happens to one of them: the
hours are counted from a fixed time on, and the rank stands in the row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log10

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from wildgate_enforcement.policy import RankWeights
from wildgate_enforcement.states import DECIDED, State
from wildgate_enforcement.tables import CaseRow, ReportRow, SubjectRow
from wildgate_proto.v1 import scoring_pb2

__all__ = ["SETTLED", "Pressing", "pressing", "rank_of", "rerank"]

_HOUR_MS = 3_600_000

SETTLED = -1e12
"""The rank of what is decided: below all that waits, so that the queue is the upper end of one index."""


@dataclass(frozen=True, slots=True)
class Pressing:
    """What a rank rests on. `appendices` are those of the verdict's labels, such as "I" or "I/II"."""

    action: scoring_pb2.Action
    score: float
    appendices: frozenset[str]
    views: int
    disseminating: bool
    since_ms: int
    report_weight: float = 0.0
    appealed: bool = False


def rank_of(case: Pressing, weights: RankWeights) -> float:
    """The higher the more pressing."""
    listed = {part for appendix in case.appendices for part in appendix.split("/")}
    by_action = {scoring_pb2.ACTION_BLOCK: weights.block, scoring_pb2.ACTION_REVIEW: weights.review}
    by_appendix = {"I": weights.appendix_i, "II": weights.appendix_ii, "III": weights.appendix_iii}
    return (
        by_action.get(case.action, 0.0)
        + weights.score * (min(case.score, 1.0) if case.score > 0 else 0.0)  # 0 for what is no number, too
        + max((by_appendix.get(part, 0.0) for part in listed), default=0.0)
        + weights.reach * log10(1 + max(case.views, 0))
        + weights.report * min(case.report_weight, weights.most_reports)
        + weights.disseminating * case.disseminating
        + weights.appealed * case.appealed
        - weights.hour * case.since_ms / _HOUR_MS
    )


def pressing(verdict: scoring_pb2.Verdict, views: int, disseminating: bool, since_ms: int) -> Pressing:
    """What a case's rank rests on before anybody reports it or appeals."""
    return Pressing(
        action=verdict.action,
        score=max((label.score for label in verdict.labels), default=0.0),
        appendices=frozenset(label.cites_appendix for label in verdict.labels),
        views=views,
        disseminating=disseminating,
        since_ms=since_ms,
    )


async def rerank(session: AsyncSession, case: CaseRow, weights: RankWeights) -> None:
    """Sets a case's rank by what is stored of it, in this session too."""
    if case.state in DECIDED:
        case.rank = SETTLED
        return
    await session.flush()
    of_case = SubjectRow.case_id == case.id
    views = await session.scalar(select(func.sum(SubjectRow.views)).where(of_case))
    shown = await session.scalar(select(func.count()).where(of_case, SubjectRow.disseminating))
    reports = await session.scalar(
        select(func.sum(ReportRow.weight)).where(ReportRow.case_id == case.id, ~ReportRow.duplicate)
    )
    by_verdict = pressing(scoring_pb2.Verdict.FromString(case.verdict), int(views or 0), bool(shown), case.opened_ms)
    appealed = case.state == State.APPEALED
    case.rank = rank_of(replace(by_verdict, report_weight=float(reports or 0.0), appealed=appealed), weights)
