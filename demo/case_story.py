"""What the demo shows of enforcement: a case from its verdict to a block, copies that run into it, and the log."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from pathlib import Path
from typing import TypeVar

import grpc
from disguised_copy import disguised
from enforcement_desk import EnforcementDesk

from wildgate_client import Action, BlocksClient, Content, ScoringClient, Verdict
from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_proto.v1.cases_pb2_grpc import ReportServiceStub

__all__ = ["StepFailed", "log_is_signed", "recognises", "tell"]

_PATIENCE_S = 30.0
_POLL_S = 0.2
_LOG = re.compile(r"(\d+) events hold, up to (\d+) signed; head [0-9a-f]{64}")
_DECISION = ("--label", "live_parrot", "--taxon", "Psittaciformes", "--reason", "a parrot is kept and shown for sale")
_Seen = TypeVar("_Seen")


class StepFailed(Exception):
    """A step was not so; the message says which, and what was seen instead."""


async def tell(desk: EnforcementDesk, gateway: str, clip: Path, video_id: str) -> AsyncGenerator[str, None]:
    """One line for each step, with what was seen, of the `clip` that the server at `gateway` scored as `video_id`.

    Raises StepFailed at the first step that was not so, and CalledProcessError, ScoringError and grpc.RpcError.
    """
    async with ScoringClient(gateway) as scoring, BlocksClient(gateway) as blocks:

        async def blocked_ids() -> list[str]:
            return [block.id async for block in blocks.list()]

        # An answer that a busy machine kept on disk has a case once that is delivered.
        verdict = await _until(
            lambda: scoring.score(clip, video_id=video_id), lambda seen: bool(seen.case_id), "a case"
        )
        case_id, block_id = verdict.case_id, f"case-{verdict.case_id}"
        smaller, mirrored = (Content(disguised(clip, mirrored=mirrored)) for mirrored in (False, True))
        before = [await scoring.score(copy) for copy in (smaller, mirrored)]
        _require(verdict.action == Action.REVIEW, "a REVIEW opens a case", verdict.action.name)
        _require(Action.BLOCK not in {copy.action for copy in before}, "no copy is blocked yet", f"{before}")
        _require(block_id not in await blocked_ids(), "nothing is blocked yet", block_id)
        yield f"its {verdict.action.name} has opened a case: {_line_of(case_id, desk)}"

        report = await _report(desk, video_id)
        joined = json.loads(desk.cases("ann", "show", case_id)).get("reports", [])
        _require([each["id"] for each in joined] == [report.id], "the report joins the case", f"{joined}")
        yield f"the report of {joined[0]['reporter']} ({joined[0]['reason']}) has joined it"

        for who, state in (("ann", "SECOND"), ("ben", "CONFIRMED")):
            decided = desk.cases(who, "decide", "confirm", desk.cases(who, "claim", case_id), *_DECISION)
            _require(decided.split()[1] == state, f"{who} confirms it", decided)
            yield f"{who} has claimed and confirmed it: {decided}"

        await _until(blocked_ids, lambda seen: block_id in seen, f"{block_id} on the list of blocks")
        yield f"the gateway's list of blocks has {block_id}"

        for what, copy, seen in zip(("smaller", "mirrored"), (smaller, mirrored), before, strict=True):
            after = await scoring.score(copy)
            _require(recognises(after, {block_id}), f"the {what} copy is blocked", _shown(after))
            yield f"a {what} copy: {seen.action.name} before, now {_shown(after)}"

        async def verified_log() -> str:
            return await asyncio.to_thread(desk.verified_log)

        checked = await _until(verified_log, log_is_signed, "a log that is signed to its end")
        yield f"the log: {checked}"


def recognises(verdict: Verdict, block_ids: Collection[str]) -> bool:
    """Whether the verdict blocks because of one of these entries."""
    return verdict.action == Action.BLOCK and any(match.block_id in block_ids for match in verdict.block_matches)


def log_is_signed(checked: str) -> bool:
    """Whether `wildgate cases verify-log` found events, all of them under a signature that it trusts."""
    found = _LOG.fullmatch(checked)
    return found is not None and int(found[1]) == int(found[2]) > 0


def _shown(verdict: Verdict) -> str:
    near = (f"{match.kind}, {len(match.frames)} frames ({match.share:.0%}) near" for match in verdict.block_matches)
    return f"{verdict.action.name} ({'; '.join(near) or 'no match'})"


def _line_of(case_id: str, desk: EnforcementDesk) -> str:
    lines = desk.cases("ann", "list", "--state", "open").splitlines()
    line = next((line for line in lines if line.startswith(case_id)), "")
    _require(bool(line), "the case waits in the queue", f"{lines}")
    return line


async def _report(desk: EnforcementDesk, video_id: str) -> pb.Report:
    """Files a user's report, as the platform does: by a call, since there is no command for it."""
    request = pb.ReportRequest(
        report_id="report-1",
        reporter="a user",
        subject=pb.Subject(video_id=video_id),
        reason="live_parrot",
        source="REPORT_SOURCE_USER",
    )
    metadata = (("authorization", f"Bearer {desk.token_file('platform').read_text()}"),)
    async with grpc.aio.insecure_channel(desk.address) as channel:
        stub = ReportServiceStub(channel)  # type: ignore[no-untyped-call]
        report: pb.Report = await stub.Report(request, metadata=metadata, timeout=_PATIENCE_S)
    return report


async def _until(look: Callable[[], Awaitable[_Seen]], holds: Callable[[_Seen], bool], what: str) -> _Seen:
    give_up_s = time.monotonic() + _PATIENCE_S
    while not holds(seen := await look()):
        _require(time.monotonic() < give_up_s, f"there is {what}", f"{seen}")
        await asyncio.sleep(_POLL_S)
    return seen


def _require(holds: bool, step: str, seen: str) -> None:
    if not holds:
        raise StepFailed(f"it was not so that {step}: {seen}")
