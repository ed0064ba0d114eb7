"""The queue: what waits, by rank; claiming the next, and deciding several alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from wildgate_console.desk import back_to, caller_of, desk_of, page, session_of, undoable
from wildgate_console.queries import Filters, counts, page_of
from wildgate_enforcement.errors import InvalidRequest, QueueEmpty, WildgateError
from wildgate_enforcement.states import State
from wildgate_enforcement.undoing import LONGEST_UNDO_S
from wildgate_proto.v1 import cases_pb2 as pb

__all__ = ["bulk", "claim_next", "decided", "decision_of", "first", "next_case", "queue", "undo"]

_GROUPS = ("product", "live_animal")
_MOST_AT_ONCE = 50


async def first(request: Request) -> Response:
    """Where somebody begins: the queue, or what their roles let them see."""
    door, caller = desk_of(request).door, caller_of(request)
    return back_to("/queue" if door.may(caller, "ListCases") else "/deliveries")


async def queue(request: Request) -> Response:
    """A page of the queue; its rows alone where htmx asks for them."""
    desk, caller, asked = desk_of(request), caller_of(request), request.query_params
    await desk.door.require(caller, "ListCases")
    filters = Filters(
        state=asked.get("state", "") if asked.get("state") in list(State) else "",
        group=asked.get("group", "") if asked.get("group") in _GROUPS else "",
        language=asked.get("language", "")[:32],
        label=asked.get("label", "")[:64],
        mine=caller.subject if asked.get("mine") else "",
    )
    async with desk.database.reading() as session:
        found = await page_of(session, filters, asked.get("after", ""))
        by_state = await counts(session)
    kept = {name: value for name, value in asked.items() if name != "after" and value}
    about: dict[str, Any] = {
        "found": found,
        "counts": by_state,
        "filters": filters,
        "query": urlencode(kept),
        "here": urlencode(dict(asked)),
        "next_query": urlencode({**kept, "after": found.after}),
        "states": list(State),
        "groups": _GROUPS,
        "labels": sorted(desk.labels),
        "notice": asked.get("notice", ""),
    }
    return await page(request, "queue_rows.html" if "hx-request" in request.headers else "queue.html", **about)


async def claim_next(request: Request) -> Response:
    """Leases the most pressing case that the caller may decide."""
    return back_to(await next_case(request))


async def next_case(request: Request) -> str:
    """The path of the next case, leased to the caller; that of the queue where nothing waits."""
    desk = desk_of(request)
    try:
        claimed = await desk.door.call(caller_of(request), "Claim", pb.ClaimRequest())
    except QueueEmpty:
        return "/queue?notice=empty"
    session_of(request).leases[claimed.case.id] = claimed.fencing_token
    return f"/cases/{claimed.case.id}"


async def bulk(request: Request) -> Response:
    """Claims several cases and decides them alike; each stands by itself, and what did not work is told."""
    desk, caller, form = desk_of(request), caller_of(request), request.state.form
    case_ids = list(dict.fromkeys(request.state.fields.get("case", [])))
    if not 0 < len(case_ids) <= _MOST_AT_ONCE:
        raise InvalidRequest(f"{len(case_ids)} cases are chosen, not 1 to {_MOST_AT_ONCE}", field="case")
    decision = decision_of(form)
    claimed, results = [], list[tuple[str, Any, str]]()
    for case_id in case_ids:
        try:
            lease = await desk.door.call(caller, "Claim", pb.ClaimRequest(case_id=case_id))
            claimed.append(pb.ClaimedCase(case_id=case_id, fencing_token=lease.fencing_token))
        except WildgateError as error:
            results.append((case_id, "", error.message))
    if claimed:
        for each in await decided(request, claimed, decision):
            results.append((each.case_id, each.case.state if each.HasField("case") else "", each.error.message))
    return await page(request, "bulk.html", results=results)


async def decided(
    request: Request, claimed: Sequence[pb.ClaimedCase], decision: pb.Decision
) -> Sequence[pb.DecideResult]:
    """Decides cases alike; what could be decided can be undone for a minute."""
    desk, session = desk_of(request), session_of(request)
    wanted = pb.DecideRequest(cases=claimed, decision=decision, undo_s=LONGEST_UNDO_S)
    results: Sequence[pb.DecideResult] = (await desk.door.call(session.caller, "Decide", wanted)).results
    tokens = {each.case_id: each.fencing_token for each in claimed}
    if done := {each.case_id: tokens[each.case_id] for each in results if each.HasField("case")}:
        session.undo = done, desk.database.now_ms + 1000 * LONGEST_UNDO_S
    return results


async def undo(request: Request) -> Response:
    """Takes back what was decided last; the first that cannot be is told, and stops none of the others."""
    desk, session = desk_of(request), session_of(request)
    made, failures = undoable(desk, session), list[WildgateError]()
    session.undo = {}, 0
    for case_id, token in made.items():
        wanted = pb.WithdrawRequest(case_id=case_id, fencing_token=token)
        try:
            await desk.door.call(session.caller, "Withdraw", wanted)
        except WildgateError as error:
            failures.append(error)
    if failures:
        raise failures[0]
    return back_to(f"/cases/{next(iter(made))}" if len(made) == 1 else "/queue")


def decision_of(form: dict[str, str]) -> pb.Decision:
    """A decision as the form says it. Raises InvalidRequest."""
    kind = f"KIND_{form.get('kind', '').upper()}"
    if kind not in pb.Decision.Kind.keys():  # noqa: SIM118
        raise InvalidRequest("choose what you decide", field="kind")
    texts = {name: form.get(name, "").strip() for name in ("label", "taxon", "reason", "comment")}
    return pb.Decision(kind=kind, **texts)  # type: ignore[arg-type]
