"""Referrals: two persons agree that a confirmed case goes to somebody outside."""

from __future__ import annotations

from collections.abc import Collection
from uuid import uuid4

from sqlalchemy import select

from wildgate_enforcement.errors import InvalidRequest, SamePerson, WrongState
from wildgate_enforcement.states import State
from wildgate_enforcement.tables import EvidenceRow, ReferralRow
from wildgate_enforcement.transaction import Transaction

__all__ = ["approve", "cancel", "receive", "refer"]

_STANDING = ("proposed", "approved", "sent", "received")


async def refer(
    transaction: Transaction,
    case_id: str,
    recipient: str,
    reason: str,
    recipients: Collection[str],
    frames: Collection[int] | None = None,
) -> ReferralRow:
    """Proposes a referral with these evidence frames, or all; one that stands is returned as it is.

    Raises NoSuchRecord, InvalidRequest and WrongState.
    """
    if recipient not in recipients:
        known = ", ".join(sorted(recipients)) or "none"
        raise InvalidRequest(f"the recipient is not one of those configured: {known}", field="recipient")
    if not reason:
        raise InvalidRequest("a referral needs a reason", field="reason")
    case = await transaction.case(case_id)
    if case.state != State.CONFIRMED:
        raise WrongState("only confirmed cases are referred", metadata={"state": case.state})
    standing = await transaction.session.scalar(
        select(ReferralRow).where(
            ReferralRow.case_id == case.id, ReferralRow.recipient == recipient, ReferralRow.state.in_(_STANDING)
        )
    )
    if standing:
        return standing
    if frames is not None:
        there = set(await transaction.session.scalars(select(EvidenceRow.number).where(EvidenceRow.case_id == case.id)))
        if missing := sorted({*frames} - there):
            raise InvalidRequest(f"the case has no evidence frame {missing[0]}", field="evidence.frames")
    row = ReferralRow(
        id=uuid4().hex,
        case_id=case.id,
        state="proposed",
        recipient=recipient,
        reason=reason,
        proposed_by=transaction.actor,
        proposed_ms=transaction.now_ms,
        frames=None if frames is None else sorted({*frames}),
    )
    transaction.session.add(row)
    await transaction.session.flush()
    transaction.log(
        case.id, "referral_proposed", referral_id=row.id, recipient=recipient, reason=reason, frames=row.frames
    )
    return row


async def approve(transaction: Transaction, referral_id: str, comment: str) -> ReferralRow:
    """The second person's approval; the package follows. Raises NoSuchRecord, SamePerson and WrongState."""
    row = await transaction.referral(referral_id)
    if row.approved_by == transaction.actor and row.state in _STANDING:
        return row
    if row.state != "proposed":
        raise WrongState(f"the referral is {row.state}", metadata={"state": row.state})
    if row.proposed_by == transaction.actor:
        raise SamePerson("who proposed a referral does not approve it")
    case = await transaction.case(row.case_id)
    if case.state != State.CONFIRMED:
        raise WrongState("the case is no longer confirmed", metadata={"state": case.state})
    row.state, row.approved_by = "approved", transaction.actor
    transaction.log(row.case_id, "referral_approved", referral_id=row.id, comment=comment)
    transaction.tell("referral", row.id, row.case_id, referral_id=row.id)
    return row


async def cancel(transaction: Transaction, referral_id: str, comment: str) -> ReferralRow:
    """Takes a referral back that did not leave. Raises NoSuchRecord and WrongState."""
    row = await transaction.referral(referral_id)
    if row.state == "cancelled":
        return row
    if row.state not in ("proposed", "failed"):
        raise WrongState(f"the referral is {row.state}", metadata={"state": row.state})
    row.state = "cancelled"
    transaction.log(row.case_id, "referral_cancelled", referral_id=row.id, comment=comment)
    return row


async def receive(transaction: Transaction, referral_id: str, receipt_number: str) -> ReferralRow:
    """Keeps the recipient's number. Raises NoSuchRecord, InvalidRequest and WrongState."""
    if not receipt_number:
        raise InvalidRequest("a receipt has a number", field="receipt_number")
    row = await transaction.referral(referral_id)
    if (row.state, row.receipt_number) == ("received", receipt_number):
        return row
    if row.state != "sent":
        raise WrongState(f"the referral is {row.state}", metadata={"state": row.state})
    row.state, row.receipt_number = "received", receipt_number
    transaction.log(row.case_id, "referral_received", referral_id=row.id, receipt_number=receipt_number)
    return row
