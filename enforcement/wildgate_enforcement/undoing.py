"""What a decision changed, and how it is taken back before anybody outside was told."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import func, select

from wildgate_enforcement.errors import WrongState
from wildgate_enforcement.policy import RankWeights
from wildgate_enforcement.ranking import rerank
from wildgate_enforcement.reviewing import end_lease
from wildgate_enforcement.tables import CaseRow, DecisionRow, DeliveryRow, ReferralRow, ReportRow
from wildgate_enforcement.transaction import Transaction

__all__ = ["LONGEST_UNDO_S", "as_it_is", "undo"]

LONGEST_UNDO_S: Final = 60
"""So long at most may a decision be undone."""
_DECIDED = ("state", "second_reason", "decided_ms", "block_id", "frozen")
"""What decisions change of a case, but its rank, which follows from the rest."""


async def as_it_is(transaction: Transaction, case: CaseRow) -> dict[str, Any]:
    """All that a decision may change of a case, to be put back by `undo`."""
    reports = select(ReportRow.id, ReportRow.state).where(ReportRow.case_id == case.id)
    told = select(func.max(DeliveryRow.id)).where(DeliveryRow.case_id == case.id)
    return {
        "case": {name: getattr(case, name) for name in _DECIDED},
        "reports": {row.id: row.state for row in await transaction.session.execute(reports)},
        "last_delivery": await transaction.session.scalar(told) or 0,
    }


async def undo(
    transaction: Transaction, case_id: str, fencing_token: int, comment: str, weights: RankWeights
) -> CaseRow:
    """Takes the actor's decision under a lease back, as if it had not been made; the same again changes nothing.

    Raises NoSuchRecord, and WrongState where its time is over, somebody went on with the case or was told outside.
    """
    case = await transaction.case(case_id)
    decision = await transaction.session.scalar(
        select(DecisionRow).where(
            DecisionRow.case_id == case.id,
            DecisionRow.decided_by == transaction.actor,
            DecisionRow.fencing_token == fencing_token,
        )
    )
    if decision is None or decision.as_it_was is None:
        raise WrongState("you made no decision under that lease that can be undone", metadata={"state": case.state})
    if decision.withdrawn:
        return case
    if decision.undo_until_ms <= transaction.now_ms:
        raise WrongState("the time to undo the decision is over", metadata={"state": case.state})
    if case.fencing_token != fencing_token + 1:
        raise WrongState("somebody went on with the case since", metadata={"state": case.state})
    since = [DeliveryRow.case_id == case.id, DeliveryRow.id > decision.as_it_was["last_delivery"]]
    deliveries = (await transaction.session.scalars(select(DeliveryRow).where(*since).with_for_update())).all()
    if any(each.attempts for each in deliveries):
        raise WrongState("it was told outside already", metadata={"state": case.state})
    proposed = select(ReferralRow.id).where(
        ReferralRow.case_id == case.id, ReferralRow.proposed_ms >= decision.decided_ms, ReferralRow.state != "cancelled"
    )
    signed = any(each.kind == "referral" for each in deliveries)
    if signed or await transaction.session.scalar(proposed.limit(1)) is not None:
        raise WrongState("a referral was proposed or signed since", metadata={"state": case.state})
    for each in deliveries:
        each.state = "superseded"
    reports = await transaction.session.scalars(select(ReportRow).where(ReportRow.case_id == case.id))
    for report in reports.all():
        report.state = decision.as_it_was["reports"].get(report.id, "waiting")
    undone = case.state
    for name, value in decision.as_it_was["case"].items():
        setattr(case, name, value)
    decision.withdrawn = True
    end_lease(case)
    await rerank(transaction.session, case, weights)
    transaction.log(
        case.id, "withdrawn", decided_by=decision.decided_by, before=undone, state=case.state, comment=comment
    )
    return case
