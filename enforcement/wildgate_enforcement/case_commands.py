"""`wildgate cases`: the queue, decisions and the log, for people at a terminal and for scripts.

Exit status: 0 done, 1 it failed or was refused, 2 usage error.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from rich.table import Table
from rich.text import Text

from wildgate_client._status import error_from_rpc, error_from_status
from wildgate_client.errors import ScoringError
from wildgate_client.result_table import print_table
from wildgate_enforcement.event_chain import ChainBroken, ChainCheck, Link, SignedHead
from wildgate_enforcement.quality import Quality, quality
from wildgate_enforcement.referral.referral import ReferralError
from wildgate_enforcement.referral.sealing import public_key
from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_proto.v1 import scoring_pb2
from wildgate_proto.v1.cases_pb2_grpc import CaseServiceStub

__all__ = ["cases_command"]

_CALL_S = 30.0
_MESSAGE_BYTES = 64 << 20

app = typer.Typer(
    help="Cases that wait for a person, and what was decided.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Server = Annotated[str, typer.Option(envvar="WILDGATE_ENFORCEMENT", help="The enforcement service, HOST:PORT.")]
Token = Annotated[
    Path | None, typer.Option(envvar="WILDGATE_TOKEN_FILE", dir_okay=False, help="File with your bearer token.")
]
Comment = Annotated[str, typer.Option(help="For colleagues; never leaves the service.")]
_SERVER = "localhost:8102"


class Outcome(StrEnum):
    """What can be decided."""

    CONFIRM = "confirm"
    HARMLESS = "harmless"
    NOT_SURE = "not-sure"
    ESCALATE = "escalate"


class CaseState(StrEnum):
    """Where a case stands."""

    OPEN = "open"
    SECOND = "second"
    ESCALATED = "escalated"
    CONFIRMED = "confirmed"
    HARMLESS = "harmless"
    APPEALED = "appealed"


def cases_command(args: list[str]) -> int:
    """Runs one command; returns the exit status."""
    result = app(args, prog_name="wildgate cases", standalone_mode=False)
    return result if isinstance(result, int) else 0


@app.command("list")
def list_cases(
    state: Annotated[list[CaseState] | None, typer.Option(help="Only these; all by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per case and line.")] = False,
    server: Server = _SERVER,
    token_file: Token = None,
) -> None:
    """Print cases, the most pressing first."""

    async def work(call: _Call) -> None:
        page_token = ""
        while True:
            states = [f"CASE_STATE_{each.name}" for each in state or ()]
            page = await call("ListCases", pb.ListCasesRequest(states=states, page_token=page_token))
            for case in page.cases:
                print(_json(case) if as_json else _line(case), flush=True)
            if not (page_token := page.next_page_token):
                return

    _run(server, token_file, work)


@app.command()
def show(
    case_id: str,
    evidence: Annotated[Path | None, typer.Option(file_okay=False, help="Write its frames there, as JPEG.")] = None,
    server: Server = _SERVER,
    token_file: Token = None,
) -> None:
    """Print a case with its reports, decisions and referrals, as JSON."""

    async def work(call: _Call) -> None:
        case = await call("GetCase", pb.GetCaseRequest(case_id=case_id))
        print(MessageToJson(case, preserving_proto_field_name=True))
        if evidence:
            evidence.mkdir(parents=True, exist_ok=True)
            for index in range(case.evidence_frames):
                frame = await call("GetEvidence", pb.GetEvidenceRequest(case_id=case_id, index=index))
                evidence.joinpath(f"{index:02d}_{frame.time_s:.2f}s.jpg").write_bytes(frame.jpeg)

    _run(server, token_file, work)


@app.command()
def claim(
    case_id: Annotated[str, typer.Argument(help="The most pressing by default.")] = "",
    skill: Annotated[
        list[str] | None, typer.Option(help="product, live_animal, lang:<language>; all by default.")
    ] = None,
    lease_s: Annotated[int, typer.Option(min=0, help="For how long; 0 for the service's own time.")] = 0,
    server: Server = _SERVER,
    token_file: Token = None,
) -> None:
    """Take a case to decide it, and print its id and fencing token."""

    async def work(call: _Call) -> None:
        claimed = await call("Claim", pb.ClaimRequest(case_id=case_id, skills=skill or (), lease_s=lease_s))
        print(f"{claimed.case.id}:{claimed.fencing_token}")

    _run(server, token_file, work)


@app.command()
def release(
    claimed: Annotated[str, typer.Argument(metavar="CASE:TOKEN")], server: Server = _SERVER, token_file: Token = None
) -> None:
    """Give a claimed case back."""
    one = _claimed(claimed)
    request = pb.ReleaseRequest(case_id=one.case_id, fencing_token=one.fencing_token)
    _one(server, token_file, "Release", request)


@app.command()
def decide(
    outcome: Outcome,
    claimed: Annotated[list[str], typer.Argument(metavar="CASE:TOKEN...", help="As `claim` printed them.")],
    label: Annotated[str, typer.Option(help="What is shown.")] = "",
    taxon: Annotated[str, typer.Option(help="Its scientific name.")] = "",
    reason: Annotated[str, typer.Option(help="For the platform and the uploader.")] = "",
    comment: Comment = "",
    server: Server = _SERVER,
    token_file: Token = None,
) -> None:
    """Decide claimed cases alike; each by itself."""
    decision = pb.Decision(kind=f"KIND_{outcome.name}", label=label, taxon=taxon, reason=reason, comment=comment)
    request = pb.DecideRequest(cases=map(_claimed, claimed), decision=decision)

    async def work(call: _Call) -> None:
        failed = 0
        for result in (await call("Decide", request)).results:
            if result.HasField("error"):
                failed += 1
                print(f"{result.case_id}: {error_from_status(result.error)}", file=sys.stderr)
            else:
                print(_line(result.case))
        if failed:
            raise typer.Exit(1)

    _run(server, token_file, work)


@app.command()
def withdraw(case_id: str, comment: Comment = "", server: Server = _SERVER, token_file: Token = None) -> None:
    """Take back a decision that waits for a second person."""
    _one(server, token_file, "Withdraw", pb.WithdrawRequest(case_id=case_id, comment=comment))


@app.command()
def appeal(
    case_id: str,
    appellant: Annotated[str, typer.Option(help="Who appeals, as the platform names them.")],
    statement: Annotated[str, typer.Option(help="What they say.")] = "",
    server: Server = _SERVER,
    token_file: Token = None,
) -> None:
    """Bring a decided case before another person."""
    request = pb.AppealRequest(case_id=case_id, appellant=appellant, statement=statement)
    _one(server, token_file, "Appeal", request)


@app.command("verify-log")
def verify_log(
    key: Annotated[
        Path | None,
        typer.Option(metavar="PUB", help="Public key (PEM) that signs the log; without it, any signature counts."),
    ] = None,
    server: Server = _SERVER,
    token_file: Token = None,
) -> None:
    """Fetch the whole log, and check here that every event is as it was."""

    async def work(call: _Call) -> None:
        check = ChainCheck(public_key(key).public_bytes_raw() if key else None)
        async for _ in _events(call, check):
            pass
        trusted = "" if key else ", by keys that were not checked"
        print(f"{check.position} events hold, up to {check.signed_position} signed{trusted}; head {check.hash.hex()}")

    _run(server, token_file, work)


@app.command()
def report(server: Server = _SERVER, token_file: Token = None) -> None:
    """Print how good verdicts and decisions are, by week and label, from the log."""

    async def work(call: _Call) -> None:
        events = [json.loads(link.canonical) async for link in _events(call, ChainCheck())]
        table = Table("week", "label", *_COLUMNS)
        for (week, label), row in quality(events).items():
            table.add_row(week, Text(label), *(show(row) for show in _COLUMNS.values()))
        print_table(table, sys.stdout)

    _run(server, token_file, work)


@app.command()
def replay(
    delivery: Annotated[list[int] | None, typer.Argument(help="Ids; all that were given up by default.")] = None,
    server: Server = _SERVER,
    token_file: Token = None,
) -> None:
    """Tell again what was given up."""

    async def work(call: _Call) -> None:
        again = (await call("Replay", pb.ReplayRequest(delivery_ids=delivery or ()))).delivery_ids
        print(f"{len(again)} are told again: {', '.join(map(str, again)) or 'none'}")

    _run(server, token_file, work)


_COLUMNS: dict[str, Callable[[Quality], str]] = {
    "decided": lambda row: str(row.confirmed + row.harmless),
    "precision": lambda row: _percent(row.precision),
    "ALLOWs sampled": lambda row: str(row.samples),
    "wrong": lambda row: _percent(row.wrong_allows),
    "second agrees": lambda row: _percent(row.agreement),
    "appeals upheld": lambda row: f"{row.upheld} of {row.upheld + row.reversed}",
    "median hours": lambda row: "" if row.median_hours is None else f"{row.median_hours:.1f}",
}

_Call = Callable[[str, Message], Coroutine[Any, Any, Any]]


async def _events(call: _Call, check: ChainCheck) -> AsyncIterator[Link]:
    """All events, each checked. Raises ChainBroken."""
    while True:
        page = await call("ListEvents", pb.ListEventsRequest(after=check.position, page_size=1000))
        links = [Link(event.position, event.canonical, event.hash) for event in page.events]
        heads = [SignedHead(*(getattr(head, name) for name in SignedHead.__slots__)) for head in page.heads]
        check.follow(links, heads)
        if not links:
            check.finish()
            return
        for link in links:
            yield link


def _one(server: str, token_file: Path | None, method: str, request: Message) -> None:
    async def work(call: _Call) -> None:
        print(_line(await call(method, request)))

    _run(server, token_file, work)


def _run(server: str, token_file: Path | None, work: Callable[[_Call], Coroutine[Any, Any, None]]) -> None:
    try:
        token = token_file.read_text(encoding="ascii").strip() if token_file else ""
        asyncio.run(_connected(server, token, work))
    except (ScoringError, ChainBroken, ReferralError, OSError, UnicodeDecodeError) as error:
        print(f"wildgate cases: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


async def _connected(server: str, token: str, work: Callable[[_Call], Coroutine[Any, Any, None]]) -> None:
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    options = [("grpc.max_receive_message_length", _MESSAGE_BYTES)]
    async with grpc.aio.insecure_channel(server, options) as channel:
        stub = CaseServiceStub(channel)  # type: ignore[no-untyped-call]

        async def call(method: str, request: Message) -> Any:
            try:
                return await getattr(stub, method)(request, metadata=metadata, timeout=_CALL_S)
            except grpc.aio.AioRpcError as error:
                raise error_from_rpc(error) from error

        await work(call)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _claimed(text: str) -> pb.ClaimedCase:
    case_id, _, token = text.rpartition(":")
    if not (case_id and token.isascii() and token.isdigit() and len(token) < 19):
        raise typer.BadParameter(f"{text!r} is not CASE:TOKEN, as `wildgate cases claim` prints it")
    return pb.ClaimedCase(case_id=case_id, fencing_token=int(token))


def _json(message: Message) -> str:
    return MessageToJson(message, preserving_proto_field_name=True, indent=None)


def _line(case: pb.Case) -> str:
    state = pb.CaseState.Name(case.state).removeprefix("CASE_STATE_")
    action = scoring_pb2.Action.Name(case.verdict.action).removeprefix("ACTION_")
    labels = ",".join(sorted({label.label for label in case.verdict.labels}))
    held = f"held by {case.assignee}" if case.assignee else ""
    return "  ".join(filter(None, (case.id, f"{state:9}", action, labels, held, case.second_reason))).rstrip()
