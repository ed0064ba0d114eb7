"""The queue: cases are leased to people, and come back."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Select, exists, or_, select

from wildgate_enforcement.errors import CaseHeld, InvalidRequest, LeaseLost, QueueEmpty, SamePerson, WrongState
from wildgate_enforcement.policy import EnforcementPolicy
from wildgate_enforcement.ranking import SETTLED
from wildgate_enforcement.roles import Role
from wildgate_enforcement.states import DECIDED, WAITING, State
from wildgate_enforcement.tables import CaseRow, DecisionRow, SkillRow
from wildgate_enforcement.transaction import Transaction
from wildgate_server.access.tokens import Caller

__all__ = [
    "check_lease",
    "check_other_person",
    "claim",
    "end_lease",
    "reassign",
    "release",
    "snooze",
    "waits_for_senior",
]

_LONGEST_SNOOZE_MS = 90 * 86_400_000


async def claim(
    transaction: Transaction,
    caller: Caller,
    policy: EnforcementPolicy,
    case_id: str = "",
    skills: Sequence[str] = (),
    lease_s: int = 0,
) -> CaseRow:
    """Leases a case to the caller: the one asked for, or the most pressing that they may decide.

    Who holds it already keeps their token and gets more time. Raises NoSuchRecord, QueueEmpty, CaseHeld, SamePerson and
    WrongState.
    """
    if lease_s < 0:
        raise InvalidRequest(f"lease_s is {lease_s}", field="lease_s")
    if case_id:
        case = await transaction.case(case_id)
        _check_waiting(case)
        _check_senior(case, caller)
        await check_other_person(transaction, case, caller.subject)
        held = transaction.now_ms < case.leased_until_ms <= _latest(transaction, policy)
        if held and case.assignee != caller.subject:
            raise CaseHeld("somebody else holds the case", metadata={"assignee": case.assignee})
    else:
        found = await transaction.session.scalar(_most_pressing(transaction, caller, policy, skills))
        if found is None:
            raise QueueEmpty("nothing waits that you may decide")
        case = found
    _lease(transaction, case, caller.subject, min(lease_s or policy.lease_s, policy.longest_lease_s))
    transaction.log(case.id, "claimed", fencing_token=case.fencing_token, until_ms=case.leased_until_ms)
    return case


async def release(transaction: Transaction, caller: Caller, case_id: str, fencing_token: int) -> CaseRow:
    """Gives a case back. Raises NoSuchRecord and LeaseLost."""
    case = await transaction.case(case_id)
    check_lease(case, caller, fencing_token)
    end_lease(case)
    transaction.log(case.id, "released")
    return case


async def reassign(
    transaction: Transaction, policy: EnforcementPolicy, case_id: str, assignee: str, comment: str
) -> CaseRow:
    """Leases a case to somebody else, whoever holds it. Raises NoSuchRecord, SamePerson and WrongState."""
    if not assignee:
        raise InvalidRequest("it must be somebody's", field="assignee")
    case = await transaction.case(case_id)
    _check_waiting(case)
    await check_other_person(transaction, case, assignee)
    before = case.assignee
    end_lease(case)
    _lease(transaction, case, assignee, policy.lease_s)
    case.snoozed_until_ms = 0
    transaction.log(case.id, "reassigned", before=before, assignee=assignee, comment=comment)
    return case


async def snooze(
    transaction: Transaction, caller: Caller, case_id: str, fencing_token: int, until_ms: int, comment: str
) -> CaseRow:
    """Gives a case back until later, 90 days at most. Raises NoSuchRecord, LeaseLost and InvalidRequest."""
    case = await transaction.case(case_id)
    check_lease(case, caller, fencing_token)
    if not transaction.now_ms < until_ms <= transaction.now_ms + _LONGEST_SNOOZE_MS:
        raise InvalidRequest("until_ms is not within the next 90 days", field="until_ms")
    end_lease(case)
    case.snoozed_until_ms = until_ms
    transaction.log(case.id, "snoozed", until_ms=until_ms, comment=comment)
    return case


def check_lease(case: CaseRow, caller: Caller, fencing_token: int) -> None:
    """Raises LeaseLost unless the token is that of the case's last lease, and the lease was the caller's.

    A lease that ran out still counts, as long as nobody else got the case since: no work is lost for being slow.
    """
    if case.fencing_token != fencing_token or case.assignee != caller.subject:
        raise LeaseLost("the case was released, decided or given to somebody else since", field="fencing_token")


async def check_other_person(transaction: Transaction, case: CaseRow, person: str) -> None:
    """Raises SamePerson for somebody who decided the case before, unless they took it back."""
    mine = select(DecisionRow.id).where(
        DecisionRow.case_id == case.id, DecisionRow.decided_by == person, ~DecisionRow.withdrawn
    )
    if await transaction.session.scalar(mine.limit(1)) is not None:
        raise SamePerson("who decided a case does not decide it again")


def end_lease(case: CaseRow) -> None:
    """Nobody holds the case any more, and no token of before counts."""
    case.assignee, case.leased_until_ms = "", 0
    case.fencing_token += 1


def waits_for_senior(case: CaseRow, caller: Caller) -> bool:
    """Whether the case waits for a senior, and the caller is none."""
    return case.state == State.ESCALATED and Role.SENIOR not in caller.roles


def _latest(transaction: Transaction, policy: EnforcementPolicy) -> int:
    """When the longest lease ends; a later one is of a clock that was put back since, and holds nothing."""
    return transaction.now_ms + policy.longest_lease_s * 1000


def _most_pressing(
    transaction: Transaction, caller: Caller, policy: EnforcementPolicy, skills: Sequence[str]
) -> Select[CaseRow]:
    now_ms = transaction.now_ms
    mine = exists().where(
        DecisionRow.case_id == CaseRow.id, DecisionRow.decided_by == caller.subject, ~DecisionRow.withdrawn
    )
    others = DECIDED if Role.SENIOR in caller.roles else DECIDED | {State.ESCALATED}
    statement = (
        select(CaseRow)
        .where(
            CaseRow.rank > SETTLED,  # an empty queue is then seen at once, however many are decided
            # Which states it is not in: for which it is in, PostgreSQL takes the index by state while it thinks that
            # there are few cases, and sorts them all.
            CaseRow.state.not_in(sorted(others)),
            or_(CaseRow.leased_until_ms <= now_ms, CaseRow.leased_until_ms > _latest(transaction, policy)),
            or_(CaseRow.snoozed_until_ms <= now_ms, CaseRow.snoozed_until_ms > now_ms + _LONGEST_SNOOZE_MS),
            ~mine,
        )
        .order_by(CaseRow.rank.desc(), CaseRow.id.desc())
        .limit(1)
        .with_for_update(skip_locked=True, of=CaseRow)
    )
    if skills:
        more = exists().where(SkillRow.case_id == CaseRow.id, SkillRow.skill.not_in(skills))
        statement = statement.where(~more)
    return statement


def _lease(transaction: Transaction, case: CaseRow, person: str, lease_s: int) -> None:
    if case.assignee != person or case.leased_until_ms <= transaction.now_ms:
        case.fencing_token += 1
    case.assignee = person
    case.leased_until_ms = transaction.now_ms + lease_s * 1000


def _check_waiting(case: CaseRow) -> None:
    if case.state not in WAITING:
        raise WrongState(f"the case is {case.state}: nothing waits for a decision", metadata={"state": case.state})


def _check_senior(case: CaseRow, caller: Caller) -> None:
    if waits_for_senior(case, caller):
        raise CaseHeld("the case waits for a senior")
