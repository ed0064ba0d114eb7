"""`wildgate.v1.CaseService`: checks what is asked, and hands it on within one transaction."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection
from math import isfinite
from typing import Any

import grpc
from sqlalchemy import select, tuple_

from wildgate_enforcement.database import Database
from wildgate_enforcement.deciding import appeal, decide, withdraw
from wildgate_enforcement.errors import InvalidRequest, NoSuchRecord
from wildgate_enforcement.messages import (
    case_message,
    delivery_message,
    delivery_state,
    referral_message,
    stored_case,
    whole_case,
)
from wildgate_enforcement.opening import Opening
from wildgate_enforcement.opening_group import OpeningGroup
from wildgate_enforcement.outbox import replay
from wildgate_enforcement.policy import EnforcementPolicy
from wildgate_enforcement.referring import approve, cancel, receive, refer
from wildgate_enforcement.requests import caller
from wildgate_enforcement.reviewing import claim, reassign, release, snooze
from wildgate_enforcement.tables import CaseRow, DeliveryRow, EventRow, EvidenceRow, SignedHeadRow
from wildgate_enforcement.undoing import undo
from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_proto.v1 import scoring_pb2
from wildgate_proto.v1.cases_pb2_grpc import CaseServiceServicer
from wildgate_server.interceptor import expected
from wildgate_server.wire import status_of

__all__ = ["CaseService"]

Context = grpc.aio.ServicerContext[Any, Any]

_DIGEST = re.compile(r"[a-z0-9-]{1,32}:[0-9a-f]{16,90}")
_FOR_REVIEW = (scoring_pb2.ACTION_REVIEW, scoring_pb2.ACTION_BLOCK)
_WITH_SAMPLES = (scoring_pb2.ACTION_ALLOW, *_FOR_REVIEW)
_MOST_EVIDENCE = 64
_MOST_DECIDED = 200


class CaseService(CaseServiceServicer):
    """Over one database. `recipients` are those that cases may be referred to."""

    def __init__(
        self,
        database: Database,
        policy: EnforcementPolicy,
        recipients: Collection[str] = (),
        draw: Callable[[], float] | None = None,
    ) -> None:
        self._database = database
        self._policy = policy
        self._openings = OpeningGroup(database, policy)
        self._recipients = recipients
        self._draw = draw or random.SystemRandom().random

    async def OpenCase(self, request: pb.OpenCaseRequest, context: Context) -> pb.OpenCaseResponse:
        """Opens a case, or joins one."""
        verdict = request.verdict
        if not request.subject.video_id:
            raise InvalidRequest("a subject has a video_id", field="subject.video_id")
        if not _DIGEST.fullmatch(verdict.content_digest):
            raise InvalidRequest("the verdict has no content_digest", field="verdict.content_digest")
        if verdict.action not in (_WITH_SAMPLES if request.sample else _FOR_REVIEW):
            raise InvalidRequest("only REVIEW and BLOCK open a case, and samples", field="verdict.action")
        if len(verdict.evidence) > _MOST_EVIDENCE or not all(isfinite(frame.time_s) for frame in verdict.evidence):
            raise InvalidRequest(
                f"there are up to {_MOST_EVIDENCE} evidence frames, each at a time", field="verdict.evidence"
            )
        opening = Opening(request.subject, verdict, request.sample)
        case, opened = await self._openings.open(caller().subject, opening)
        return pb.OpenCaseResponse(case_id=case.id, state=f"CASE_STATE_{case.state.upper()}", opened=opened)

    async def GetCase(self, request: pb.GetCaseRequest, context: Context) -> pb.Case:
        """A case with all that belongs to it."""
        async with self._database.reading() as session:
            return await whole_case(session, await stored_case(session, request.case_id))

    async def ListCases(self, request: pb.ListCasesRequest, context: Context) -> pb.ListCasesResponse:
        """A page of cases by rank."""
        size = _page_size(request.page_size, usual=50, most=500)
        statement = select(CaseRow).order_by(CaseRow.rank.desc(), CaseRow.id.desc()).limit(size + 1)
        if request.states:
            wanted = {pb.CaseState.Name(state).removeprefix("CASE_STATE_").lower() for state in request.states}
            statement = statement.where(CaseRow.state.in_(sorted(wanted)))
        if request.page_token:
            rank, case_id = _page_start(request.page_token)
            # As a row, which the index knows; "rank is less, or equal and ..." would look at all that came before.
            statement = statement.where(tuple_(CaseRow.rank, CaseRow.id) < (rank, case_id))
        async with self._database.reading() as session:
            rows = (await session.scalars(statement)).all()
        more = len(rows) > size
        return pb.ListCasesResponse(
            cases=map(case_message, rows[:size]),
            next_page_token=f"{rows[size - 1].rank.hex()} {rows[size - 1].id}" if more else "",
        )

    async def GetEvidence(self, request: pb.GetEvidenceRequest, context: Context) -> scoring_pb2.EvidenceFrame:
        """A picture; who looked is an event."""
        async with self._database.writing(caller().subject) as transaction:
            frame = await transaction.session.get(EvidenceRow, (request.case_id, request.index))
            if frame is None:
                raise NoSuchRecord("the case has no such evidence frame", field="index")
            transaction.log(request.case_id, "evidence_seen", index=request.index)
            return scoring_pb2.EvidenceFrame(time_s=frame.time_s, jpeg=frame.jpeg)

    async def Claim(self, request: pb.ClaimRequest, context: Context) -> pb.ClaimResponse:
        """Leases a case to the caller."""
        async with self._database.writing(caller().subject) as transaction:
            case = await claim(
                transaction, caller(), self._policy, request.case_id, list(request.skills), request.lease_s
            )
        async with self._database.reading() as session:
            return pb.ClaimResponse(case=await whole_case(session, case), fencing_token=case.fencing_token)

    async def Release(self, request: pb.ReleaseRequest, context: Context) -> pb.Case:
        """Gives a case back."""
        async with self._database.writing(caller().subject) as transaction:
            case = await release(transaction, caller(), request.case_id, request.fencing_token)
            return case_message(case)

    async def Reassign(self, request: pb.ReassignRequest, context: Context) -> pb.ClaimResponse:
        """Leases a case to somebody else."""
        async with self._database.writing(caller().subject) as transaction:
            case = await reassign(transaction, self._policy, request.case_id, request.assignee, request.comment)
            return pb.ClaimResponse(case=case_message(case), fencing_token=case.fencing_token)

    async def Snooze(self, request: pb.SnoozeRequest, context: Context) -> pb.Case:
        """Gives a case back until later."""
        async with self._database.writing(caller().subject) as transaction:
            case = await snooze(
                transaction, caller(), request.case_id, request.fencing_token, request.until_ms, request.comment
            )
            return case_message(case)

    async def Decide(self, request: pb.DecideRequest, context: Context) -> pb.DecideResponse:
        """Decides each case in a transaction of its own."""
        if not 0 < len(request.cases) <= _MOST_DECIDED:
            raise InvalidRequest(f"{len(request.cases)} cases at once, not 1 to {_MOST_DECIDED}", field="cases")
        return pb.DecideResponse(results=[await self._decided(each, request) for each in request.cases])

    async def _decided(self, claimed: pb.ClaimedCase, request: pb.DecideRequest) -> pb.DecideResult:
        try:
            async with self._database.writing(caller().subject) as transaction:
                case = await decide(
                    transaction, caller(), claimed, request.decision, self._policy, self._draw, request.undo_s
                )
                return pb.DecideResult(case_id=case.id, case=case_message(case))
        except Exception as error:
            return pb.DecideResult(case_id=claimed.case_id, error=status_of(expected(error)))

    async def Withdraw(self, request: pb.WithdrawRequest, context: Context) -> pb.Case:
        """Takes a decision back."""
        async with self._database.writing(caller().subject) as transaction:
            if request.fencing_token:
                case = await undo(
                    transaction, request.case_id, request.fencing_token, request.comment, self._policy.rank
                )
            else:
                case = await withdraw(transaction, caller(), request.case_id, request.comment)
            return case_message(case)

    async def Appeal(self, request: pb.AppealRequest, context: Context) -> pb.Case:
        """Brings a decided case back; the platform learns its state, and nothing of who decided what."""
        async with self._database.writing(caller().subject) as transaction:
            case = await appeal(transaction, request.case_id, request.appellant, request.statement, self._policy)
            return pb.Case(id=case.id, state=case_message(case).state, content_digest=case.content_digest)

    async def Refer(self, request: pb.ReferRequest, context: Context) -> pb.Referral:
        """Proposes a referral."""
        async with self._database.writing(caller().subject) as transaction:
            chosen = list(request.evidence.frames) if request.HasField("evidence") else None
            return referral_message(
                await refer(transaction, request.case_id, request.recipient, request.reason, self._recipients, chosen)
            )

    async def ApproveReferral(self, request: pb.ApproveReferralRequest, context: Context) -> pb.Referral:
        """Approves a referral."""
        async with self._database.writing(caller().subject) as transaction:
            return referral_message(await approve(transaction, request.referral_id, request.comment))

    async def CancelReferral(self, request: pb.CancelReferralRequest, context: Context) -> pb.Referral:
        """Takes a referral back."""
        async with self._database.writing(caller().subject) as transaction:
            return referral_message(await cancel(transaction, request.referral_id, request.comment))

    async def RecordReceipt(self, request: pb.RecordReceiptRequest, context: Context) -> pb.Referral:
        """Keeps the recipient's number."""
        async with self._database.writing(caller().subject) as transaction:
            return referral_message(await receive(transaction, request.referral_id, request.receipt_number))

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        """A page of the log."""
        size = _page_size(request.page_size, usual=500, most=1000)
        statement = select(EventRow).where(EventRow.position > request.after).order_by(EventRow.position).limit(size)
        if request.case_id:
            statement = statement.where(EventRow.case_id == request.case_id)
        async with self._database.reading() as session:
            events = (await session.scalars(statement)).all()
            heads = select(SignedHeadRow).where(SignedHeadRow.position > request.after)
            if len(events) == size:  # otherwise all that are left, so that a log that was cut short shows
                heads = heads.where(SignedHeadRow.position <= events[-1].position)
            signed = (await session.scalars(heads.order_by(SignedHeadRow.position))).all()
        return pb.ListEventsResponse(
            events=[pb.Event(position=each.position, canonical=each.canonical, hash=each.hash) for each in events],
            heads=[
                pb.SignedHead(
                    position=head.position,
                    hash=head.hash,
                    signed_ms=head.signed_ms,
                    signature=head.signature,
                    public_key=head.public_key,
                )
                for head in signed
            ],
        )

    async def ListDeliveries(self, request: pb.ListDeliveriesRequest, context: Context) -> pb.ListDeliveriesResponse:
        """A page of what was, or is to be, told outside."""
        size = _page_size(request.page_size, usual=100, most=1000)
        statement = select(DeliveryRow).where(DeliveryRow.id > request.after).order_by(DeliveryRow.id).limit(size)
        if request.state:
            statement = statement.where(DeliveryRow.state == delivery_state(request.state))
        async with self._database.reading() as session:
            rows = (await session.scalars(statement)).all()
        return pb.ListDeliveriesResponse(deliveries=map(delivery_message, rows))

    async def Replay(self, request: pb.ReplayRequest, context: Context) -> pb.ReplayResponse:
        """Has what was given up tried again."""
        async with self._database.writing(caller().subject) as transaction:
            return pb.ReplayResponse(delivery_ids=await replay(transaction, list(request.delivery_ids)))


def _page_size(asked: int, *, usual: int, most: int) -> int:
    if not 0 <= asked <= most:
        raise InvalidRequest(f"page_size is {asked}, not 0 to {most}", field="page_size")
    return asked or usual


def _page_start(token: str) -> tuple[float, str]:
    rank, _, case_id = token.partition(" ")
    try:
        return float.fromhex(rank), case_id
    except (ValueError, OverflowError) as error:
        raise InvalidRequest("page_token is not one of this service", field="page_token") from error
