"""What is on record: referrals, the log of events, what was told outside, and figures."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import Response

from wildgate_console.desk import back_to, caller_of, desk_of, page
from wildgate_console.ledger import DAYS
from wildgate_console.queries import referrals
from wildgate_enforcement.event_chain import ChainBroken, ChainCheck, Link, SignedHead
from wildgate_enforcement.head_signing import signing_key
from wildgate_enforcement.roles import Role
from wildgate_proto.v1 import cases_pb2 as pb

__all__ = ["audit", "deliveries", "figures", "quality", "referral_list", "replay", "verify"]

_PAGE = 100
_VERIFIED_AT_ONCE = 1000


async def referral_list(request: Request) -> Response:
    """The latest referrals."""
    desk = desk_of(request)
    await desk.door.require(caller_of(request), "GetCase")
    async with desk.database.reading() as session:
        rows = await referrals(session)
    return await page(request, "referrals.html", rows=rows)


async def audit(request: Request, checked: str = "") -> Response:
    """A page of the log, of one case or of all; newest last, as it was written."""
    asked = request.query_params
    after = int(asked["after"]) if asked.get("after", "").isdecimal() and len(asked["after"]) < 16 else 0
    case_id, word = asked.get("case", "")[:64], asked.get("word", "")[:64]
    wanted = pb.ListEventsRequest(after=after, case_id=case_id, page_size=1000 if word else _PAGE)
    answer = await desk_of(request).door.call(caller_of(request), "ListEvents", wanted)
    events = [json.loads(event.canonical) for event in answer.events if word.encode() in event.canonical]
    last = answer.events[-1].position if len(answer.events) == wanted.page_size else 0
    return await page(
        request, "audit.html", events=events, last=last, case_id=case_id, word=word, checked=checked, dumps=_said
    )


async def verify(request: Request) -> Response:
    """Follows the whole chain, and says up to where it holds under this service's own key."""
    desk, caller = desk_of(request), caller_of(request)
    key = signing_key(desk.settings.directory / "log-key.pem").public_key().public_bytes_raw()
    check = ChainCheck(key)
    try:
        while True:
            wanted = pb.ListEventsRequest(after=check.position, page_size=_VERIFIED_AT_ONCE)
            answer = await desk.door.call(caller, "ListEvents", wanted)
            heads = [SignedHead(h.position, h.hash, h.signed_ms, h.signature, h.public_key) for h in answer.heads]
            check.follow([Link(e.position, e.canonical, e.hash) for e in answer.events], heads)
            if len(answer.events) < _VERIFIED_AT_ONCE:
                break
        check.finish()
    except ChainBroken as error:
        return await audit(request, f"BROKEN: {error}")
    return await audit(request, f"{check.position} events hold, up to {check.signed_position} signed")


async def deliveries(request: Request) -> Response:
    """What was told outside, or waits to be."""
    wanted = pb.ListDeliveriesRequest(state="STATE_DEAD" if request.query_params.get("dead") else None, page_size=200)
    answer = await desk_of(request).door.call(caller_of(request), "ListDeliveries", wanted)
    return await page(request, "deliveries.html", rows=answer.deliveries, delivery_states=pb.Delivery.State)


async def replay(request: Request) -> Response:
    """Tells again what was given up."""
    await desk_of(request).door.call(caller_of(request), "Replay", pb.ReplayRequest())
    return back_to("/deliveries")


async def figures(request: Request) -> Response:
    """Cases, decisions and pictures seen by day; those of other people only to who leads or watches."""
    desk, caller = desk_of(request), caller_of(request)
    await desk.door.require(caller, "ListCases")
    await desk.ledger.follow()
    everybody = bool(caller.roles & {Role.SENIOR, Role.AUDITOR})
    days = sorted({*desk.ledger.opened, *desk.ledger.decided, *desk.ledger.seen})[-DAYS:]
    people = sorted(
        {person for day in days for table in (desk.ledger.seen, desk.ledger.decided) for person in table[day]}
    )
    shown = people if everybody else [caller.subject]
    return await page(request, "figures.html", days=days, people=shown, ledger=desk.ledger)


async def quality(request: Request) -> Response:
    """Precision and agreement by week and label, of all people together."""
    desk = desk_of(request)
    await desk.door.require(caller_of(request), "ListCases")
    return Response(await desk.quality.svg(), media_type="image/svg+xml")


def _said(details: object) -> str:
    return json.dumps(details, ensure_ascii=False)
