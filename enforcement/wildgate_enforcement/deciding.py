"""Decisions: what a person says on a case they hold, second pairs of eyes, and appeals."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import func, select

from wildgate_enforcement.consequences import follow
from wildgate_enforcement.errors import AccessDenied, InvalidRequest, WrongState
from wildgate_enforcement.policy import EnforcementPolicy
from wildgate_enforcement.ranking import rerank
from wildgate_enforcement.reviewing import check_lease, check_other_person, end_lease, waits_for_senior
from wildgate_enforcement.roles import Role
from wildgate_enforcement.states import State, Step, after
from wildgate_enforcement.tables import CaseRow, DecisionRow, SubjectRow
from wildgate_enforcement.transaction import Transaction
from wildgate_enforcement.undoing import LONGEST_UNDO_S, as_it_is
from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_server.access.tokens import Caller

__all__ = ["appeal", "decide", "withdraw"]

_STEPS = {
    pb.Decision.KIND_CONFIRM: Step.CONFIRM,
    pb.Decision.KIND_HARMLESS: Step.HARMLESS,
    pb.Decision.KIND_NOT_SURE: Step.NOT_SURE,
    pb.Decision.KIND_ESCALATE: Step.ESCALATE,
}


async def decide(
    transaction: Transaction,
    caller: Caller,
    claimed: pb.ClaimedCase,
    decision: pb.Decision,
    policy: EnforcementPolicy,
    draw: Callable[[], float],
    undo_s: int = 0,
) -> CaseRow:
    """Decides a claimed case; the same decision under the same lease again changes nothing.

    `draw` gives numbers from 0 to 1, for the share that is checked at random. For `undo_s` nothing is told outside, and
    the decision can be withdrawn. Raises NoSuchRecord, InvalidRequest,
    LeaseLost, SamePerson, AccessDenied and WrongState.
    """
    if not 0 <= undo_s <= LONGEST_UNDO_S:
        raise InvalidRequest(f"undo_s is {undo_s}, not 0 to {LONGEST_UNDO_S}", field="undo_s")
    if (step := _STEPS.get(decision.kind)) is None:
        raise InvalidRequest("a decision needs a kind", field="decision.kind")
    if step is Step.CONFIRM and not (decision.label and decision.reason):
        raise InvalidRequest("to confirm takes a label and a reason", field="decision")
    case = await transaction.case(claimed.case_id)
    if await _made_before(transaction, caller, claimed, decision):
        return case
    check_lease(case, caller, claimed.fencing_token)
    await check_other_person(transaction, case, caller.subject)
    if waits_for_senior(case, caller):
        raise AccessDenied("the case waits for a senior")
    as_it_was = await as_it_is(transaction, case) if undo_s else None
    if case.state == State.SECOND and step is Step.HARMLESS:
        step = Step.DISAGREE
    elif case.state == State.OPEN and step is Step.CONFIRM:
        case.second_reason = await _second_reason(transaction, case, policy, draw)
        step = Step.CONFIRM_FIRST if case.second_reason else step
    before, case.state = case.state, after(State(case.state), step)
    transaction.session.add(
        DecisionRow(
            case_id=case.id,
            fencing_token=claimed.fencing_token,
            kind=_kind_name(decision),
            label=decision.label,
            taxon=decision.taxon,
            reason=decision.reason,
            comment=decision.comment,
            decided_by=caller.subject,
            decided_ms=transaction.now_ms,
            undo_until_ms=transaction.now_ms + 1000 * undo_s,
            as_it_was=as_it_was,
        )
    )
    transaction.tell_from_ms = transaction.now_ms + 1000 * undo_s
    end_lease(case)
    transaction.log(
        case.id,
        "decided",
        decision=_kind_name(decision),
        step=step,
        before=before,
        state=case.state,
        label=decision.label,
        taxon=decision.taxon,
        reason=decision.reason,
        comment=decision.comment,
        second_reason=case.second_reason if step is Step.CONFIRM_FIRST else "",
    )
    await follow(transaction, case)
    return case


async def withdraw(transaction: Transaction, caller: Caller, case_id: str, comment: str) -> CaseRow:
    """Takes back a decision that waits for a second person; only who made it may, or a senior.

    Raises NoSuchRecord, AccessDenied and WrongState.
    """
    case = await transaction.case(case_id)
    case.state = after(State(case.state), Step.WITHDRAW)
    first = await transaction.session.scalar(
        select(DecisionRow)
        .where(DecisionRow.case_id == case.id, DecisionRow.kind == "confirm", ~DecisionRow.withdrawn)
        .order_by(DecisionRow.id.desc())
        .limit(1)
    )
    assert first is not None  # it brought the case here
    if first.decided_by != caller.subject and Role.SENIOR not in caller.roles:
        raise AccessDenied("only who decided, or a senior, may take it back")
    first.withdrawn = True
    case.second_reason = ""
    end_lease(case)
    transaction.log(case.id, "withdrawn", decided_by=first.decided_by, comment=comment)
    return case


async def appeal(
    transaction: Transaction, case_id: str, appellant: str, statement: str, policy: EnforcementPolicy
) -> CaseRow:
    """Brings a decided case back, once; the same appellant again changes nothing.

    Raises NoSuchRecord and WrongState.
    """
    if not appellant:
        raise InvalidRequest("somebody has to appeal", field="appellant")
    case = await transaction.case(case_id)
    if case.appellant == appellant:
        return case
    if case.appellant is not None:
        raise WrongState("the case was appealed before", metadata={"state": case.state})
    before, case.state = case.state, after(State(case.state), Step.APPEAL)
    case.appellant = appellant
    end_lease(case)
    transaction.log(case.id, "appealed", appellant=appellant, statement=statement, before=before)
    await rerank(transaction.session, case, policy.rank)
    return case


async def _made_before(
    transaction: Transaction, caller: Caller, claimed: pb.ClaimedCase, decision: pb.Decision
) -> bool:
    made = select(DecisionRow.id).where(
        DecisionRow.case_id == claimed.case_id,
        DecisionRow.fencing_token == claimed.fencing_token,
        DecisionRow.decided_by == caller.subject,
        DecisionRow.kind == _kind_name(decision),
        ~DecisionRow.withdrawn,
    )
    return await transaction.session.scalar(made) is not None


async def _second_reason(
    transaction: Transaction, case: CaseRow, policy: EnforcementPolicy, draw: Callable[[], float]
) -> str:
    """Why a second person has to agree, "" where none has to."""
    accounts = select(SubjectRow.account).where(SubjectRow.case_id == case.id, SubjectRow.account != "")
    confirmed = (
        select(func.count(SubjectRow.video_id.distinct()))
        .join(CaseRow, CaseRow.id == SubjectRow.case_id)
        .where(SubjectRow.account.in_(accounts), (CaseRow.state == State.CONFIRMED) | (CaseRow.id == case.id))
        .group_by(SubjectRow.account)
    )
    counts = (await transaction.session.scalars(confirmed)).all()
    if policy.second_every and any(count >= policy.second_every for count in counts):
        return f"at least {policy.second_every} videos of one account"
    return "quality" if draw() < policy.second_share else ""


def _kind_name(decision: pb.Decision) -> str:
    return pb.Decision.Kind.Name(decision.kind).removeprefix("KIND_").lower()
