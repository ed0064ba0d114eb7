"""One case: what is known of it, and what somebody who holds it may do."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.message import Message
from google.rpc import status_pb2
from starlette.requests import Request
from starlette.responses import Response

from wildgate_console.desk import back_to, caller_of, desk_of, http_status, page, session_of
from wildgate_console.queries import blocked_originals, evidence_times, near_copies, same_account
from wildgate_console.queue_pages import decided, decision_of, next_case
from wildgate_console.timeline import timeline
from wildgate_enforcement.errors import AccessDenied, InvalidRequest, WildgateError
from wildgate_enforcement.states import WAITING
from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_proto.v1 import scoring_pb2

__all__ = ["ACTIONS", "act", "decide", "evidence", "referral", "show"]

ACTIONS = ("claim", "release", "snooze", "reassign", "withdraw", "refer")
_MINUTE_MS = 60_000
_MOST_INT32, _MOST_INT64 = (1 << 31) - 1, (1 << 63) - 1
_COUNTS = 0.2
_VERDICTS = {0: "-", 1: "ALLOW", 2: "REVIEW", 3: "BLOCK"}


async def show(request: Request, status: int = 200, alert: str = "", entered: dict[str, str] | None = None) -> Response:
    """The page of a case, with what went wrong and what was entered, where something did."""
    desk, caller, session = desk_of(request), caller_of(request), session_of(request)
    case = await desk.door.call(caller, "GetCase", pb.GetCaseRequest(case_id=request.path_params["case_id"]))
    events = []
    if desk.door.may(caller, "ListEvents"):
        answer = await desk.door.call(caller, "ListEvents", pb.ListEventsRequest(case_id=case.id, page_size=500))
        events = [json.loads(event.canonical) for event in answer.events]
    async with desk.database.reading() as reading:
        times = await evidence_times(reading, case.id)
        related, near = await same_account(reading, case), await near_copies(reading, case)
        blocked = await blocked_originals(reading, case)
    held = case.assignee == caller.subject and case.id in session.leases
    links = [
        (number, time_s, desk.links.link(session, case.id, number), _boxes(case, time_s))
        for number, time_s in enumerate(times)
    ]
    return await page(
        request,
        "case.html",
        status,
        case=case,
        frames=links if desk.door.may(caller, "GetEvidence") else [],
        originals=[
            (original, desk.links.link(session, original.case_id, original.number))
            for original in blocked
            if desk.door.may(caller, "GetEvidence")
        ],
        line=timeline(case.verdict, times),
        held=held,
        token=session.leases.get(case.id, 0),
        waiting=pb.CaseState.Name(case.state).removeprefix("CASE_STATE_").lower() in WAITING,
        top=next((label for label in case.verdict.labels if label.label in desk.labels), None),
        labels=sorted(desk.labels),
        recipients=desk.door.recipients,
        related=related,
        near=near,
        events=events,
        alert=alert,
        entered=entered or {},
        kinds=pb.Decision.Kind,
        match_kinds=scoring_pb2.BlockMatch.Kind,
        referral_states=pb.Referral.State,
        actions=_VERDICTS,
    )


def _boxes(case: pb.Case, time_s: float) -> list[Any]:
    """What was found in a frame; of what hardly counts, only the best, so that the picture stays to be seen."""
    there = [found for found in case.verdict.detections if found.time_s == time_s and found.HasField("box")]
    ranked = sorted(there, key=lambda found: -found.score)
    return [found for place, found in enumerate(ranked) if place == 0 or found.score >= _COUNTS]


async def act(request: Request) -> Response:
    """One thing that is done with a case: claim, release, snooze, reassign, withdraw or refer it."""
    case_id, form, session = request.path_params["case_id"], request.state.form, session_of(request)
    action, now_ms = _action(request), desk_of(request).database.now_ms
    lease: dict[str, Any] = {"case_id": case_id}
    if action in ("release", "snooze"):
        lease["fencing_token"] = _number(form.get("fencing_token"), "fencing_token")
    comment = form.get("comment", "")
    call: tuple[str, Message]
    match action:
        case "claim":
            call = "Claim", pb.ClaimRequest(case_id=case_id)
        case "release":
            call = "Release", pb.ReleaseRequest(**lease)
        case "snooze":
            until_ms = now_ms + min(_number(form.get("minutes"), "minutes"), 129_600) * _MINUTE_MS
            call = "Snooze", pb.SnoozeRequest(**lease, until_ms=until_ms, comment=comment)
        case "reassign":
            call = "Reassign", pb.ReassignRequest(case_id=case_id, assignee=form.get("assignee", ""), comment=comment)
        case "withdraw":
            call = "Withdraw", pb.WithdrawRequest(case_id=case_id, comment=comment)
        case _:
            recipient, reason = form.get("recipient", ""), form.get("reason", "").strip()
            refer = pb.ReferRequest(case_id=case_id, recipient=recipient, reason=reason)
            if form.get("choose"):
                frames = [_number(each, "frame", _MOST_INT32) for each in request.state.fields.get("frame", [])]
                refer.evidence.CopyFrom(pb.EvidenceChoice(frames=frames))
            call = "Refer", refer
    try:
        answer = await desk_of(request).door.call(caller_of(request), *call)
    except WildgateError as error:
        return await _failed(request, error, form)
    if action == "claim":
        session.leases[case_id] = answer.fencing_token
    elif action != "refer":
        session.leases.pop(case_id, None)
    return back_to("/queue" if action in ("release", "snooze") else f"/cases/{case_id}")


async def decide(request: Request) -> Response:
    """Decides a case that the caller holds, and goes to the next where that was asked for."""
    form, case_id = request.state.form, request.path_params["case_id"]
    try:
        claimed = pb.ClaimedCase(case_id=case_id, fencing_token=_number(form.get("fencing_token"), "fencing_token"))
        [result] = await decided(request, [claimed], decision_of(form))
    except WildgateError as error:
        return await _failed(request, error, form)
    if result.HasField("error"):
        return await _failed(request, result.error, form)
    session_of(request).leases.pop(case_id, None)
    return back_to(await next_case(request) if form.get("then") == "next" else f"/cases/{case_id}")


async def referral(request: Request) -> Response:
    """Approves a referral, takes it back, or keeps the number of its receipt."""
    form, referral_id = request.state.form, request.path_params["referral_id"]
    comment = form.get("comment", "")
    call: tuple[str, Message]
    match _action(request):
        case "approve":
            call = "ApproveReferral", pb.ApproveReferralRequest(referral_id=referral_id, comment=comment)
        case "cancel":
            call = "CancelReferral", pb.CancelReferralRequest(referral_id=referral_id, comment=comment)
        case _:
            number = form.get("receipt_number", "").strip()
            call = "RecordReceipt", pb.RecordReceiptRequest(referral_id=referral_id, receipt_number=number)
    answer = await desk_of(request).door.call(caller_of(request), *call)
    return back_to(f"/cases/{answer.case_id}")


async def evidence(request: Request) -> Response:
    """A picture, by a link of this session's; that it was seen is an event of the log."""
    desk, session = desk_of(request), session_of(request)
    case_id, index = desk.links.read(session, request.path_params["signed"])
    limit = desk.settings.session.most_frames(session.caller.subject)
    if limit and await desk.ledger.seen_today(session.caller.subject) >= limit:
        raise AccessDenied(f"you were shown {limit} pictures today, and no more are shown")
    frame = await desk.door.call(session.caller, "GetEvidence", pb.GetEvidenceRequest(case_id=case_id, index=index))
    return Response(frame.jpeg, media_type="image/jpeg", headers={"content-disposition": "inline"})


async def _failed(request: Request, error: WildgateError | status_pb2.Status, form: dict[str, str]) -> Response:
    """The case as it is now, and why nothing was changed. What was entered stays."""
    code = error.code if isinstance(error, status_pb2.Status) else int(error.status)
    try:
        return await show(request, http_status(code), alert=error.message, entered=form)
    except AccessDenied:  # who may not see the case is told no more
        if isinstance(error, WildgateError):
            raise error from None
        raise


def _action(request: Request) -> str:
    return request.url.path.rpartition("/")[2]


def _number(text: str | None, name: str, most: int = _MOST_INT64) -> int:
    try:
        number = int(text or "")
    except ValueError:
        number = -1
    if not 0 <= number <= most:
        raise InvalidRequest(f"{name} is no number", field=name)
    return number
