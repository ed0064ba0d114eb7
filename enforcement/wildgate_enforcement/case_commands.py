"""`wildgate cases`: the queue, decisions and the log, for people at a terminal and for scripts.

Exit status: 0 done, 1 it failed or was refused, 2 usage error.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from time import time
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from wildgate_client._status import error_from_status
from wildgate_client.connection_options import Cert, Key, TlsCa, TokenFile, chosen_credentials, credentials_of
from wildgate_enforcement.calling import SERVER, Call, Comment, Server, calling, line, one_case
from wildgate_enforcement.feedback_commands import data_set, report
from wildgate_enforcement.log_commands import deliveries, replay, verify_log
from wildgate_proto.v1 import cases_pb2 as pb

__all__ = ["cases_command"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("verify-log")(verify_log)
app.command()(report)
app.command("data-set")(data_set)
app.command()(deliveries)
app.command()(replay)


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


@app.callback()
def cases(tls_ca: TlsCa = None, cert: Cert = None, key: Key = None) -> None:
    """Cases that wait for a person, and what was decided."""
    chosen_credentials.set(credentials_of(tls_ca, cert, key))


def cases_command(args: list[str]) -> int:
    """Runs one command; returns the exit status."""
    try:
        app(args, prog_name="wildgate cases")
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 1
    return 0


@app.command("list")
def list_cases(
    state: Annotated[list[CaseState] | None, typer.Option(help="Only these; all by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per case and line.")] = False,
    server: Server = SERVER,
    token_file: TokenFile = None,
) -> None:
    """Print cases, the most pressing first."""

    async def work(call: Call) -> None:
        page_token = ""
        while True:
            states = [f"CASE_STATE_{each.name}" for each in state or ()]
            page = await call("ListCases", pb.ListCasesRequest(states=states, page_token=page_token))
            for case in page.cases:
                print(_json(case) if as_json else line(case), flush=True)
            if not (page_token := page.next_page_token):
                return

    calling(server, token_file, work)


@app.command()
def show(
    case_id: str,
    evidence: Annotated[Path | None, typer.Option(file_okay=False, help="Write its frames there, as JPEG.")] = None,
    server: Server = SERVER,
    token_file: TokenFile = None,
) -> None:
    """Print a case with its reports, decisions and referrals, as JSON."""

    async def work(call: Call) -> None:
        case = await call("GetCase", pb.GetCaseRequest(case_id=case_id))
        print(MessageToJson(case, preserving_proto_field_name=True))
        if evidence:
            evidence.mkdir(parents=True, exist_ok=True)
            for index in range(case.evidence_frames):
                frame = await call("GetEvidence", pb.GetEvidenceRequest(case_id=case_id, index=index))
                evidence.joinpath(f"{index:02d}_{frame.time_s:.2f}s.jpg").write_bytes(frame.jpeg)

    calling(server, token_file, work)


@app.command()
def claim(
    case_id: Annotated[str, typer.Argument(help="The most pressing by default.")] = "",
    skill: Annotated[
        list[str] | None, typer.Option(help="product, live_animal, lang:<language>; all by default.")
    ] = None,
    lease_s: Annotated[int, typer.Option(min=0, help="For how long; 0 for the service's own time.")] = 0,
    server: Server = SERVER,
    token_file: TokenFile = None,
) -> None:
    """Take a case to decide it, and print its id and fencing token."""

    async def work(call: Call) -> None:
        claimed = await call("Claim", pb.ClaimRequest(case_id=case_id, skills=skill or (), lease_s=lease_s))
        print(f"{claimed.case.id}:{claimed.fencing_token}")

    calling(server, token_file, work)


@app.command()
def release(
    claimed: Annotated[str, typer.Argument(metavar="CASE:TOKEN")], server: Server = SERVER, token_file: TokenFile = None
) -> None:
    """Give a claimed case back."""
    one = _claimed(claimed)
    request = pb.ReleaseRequest(case_id=one.case_id, fencing_token=one.fencing_token)
    one_case(server, token_file, "Release", request)


@app.command()
def snooze(
    claimed: Annotated[str, typer.Argument(metavar="CASE:TOKEN")],
    hours: Annotated[float, typer.Option(min=0.01, max=2160, help="For how long.")],
    comment: Comment = "",
    server: Server = SERVER,
    token_file: TokenFile = None,
) -> None:
    """Give a claimed case back, to come up again later."""
    one = _claimed(claimed)
    until_ms = round((time() + hours * 3600) * 1e3)
    request = pb.SnoozeRequest(case_id=one.case_id, fencing_token=one.fencing_token, until_ms=until_ms, comment=comment)
    one_case(server, token_file, "Snooze", request)


@app.command()
def reassign(
    case_id: str,
    assignee: Annotated[str, typer.Argument(help="The subject of their token.")],
    comment: Comment = "",
    server: Server = SERVER,
    token_file: TokenFile = None,
) -> None:
    """Lease a case to somebody else, whoever holds it, and print its id and fencing token."""

    async def work(call: Call) -> None:
        request = pb.ReassignRequest(case_id=case_id, assignee=assignee, comment=comment)
        leased = await call("Reassign", request)
        print(f"{leased.case.id}:{leased.fencing_token}")

    calling(server, token_file, work)


@app.command()
def decide(
    outcome: Outcome,
    claimed: Annotated[list[str], typer.Argument(metavar="CASE:TOKEN...", help="As `claim` printed them.")],
    label: Annotated[str, typer.Option(help="What is shown.")] = "",
    taxon: Annotated[str, typer.Option(help="Its scientific name.")] = "",
    reason: Annotated[str, typer.Option(help="For the platform and the uploader.")] = "",
    comment: Comment = "",
    server: Server = SERVER,
    token_file: TokenFile = None,
) -> None:
    """Decide claimed cases alike; each by itself."""
    decision = pb.Decision(kind=f"KIND_{outcome.name}", label=label, taxon=taxon, reason=reason, comment=comment)
    request = pb.DecideRequest(cases=map(_claimed, claimed), decision=decision)

    async def work(call: Call) -> None:
        failed = 0
        for result in (await call("Decide", request)).results:
            if result.HasField("error"):
                failed += 1
                print(f"{result.case_id}: {error_from_status(result.error)}", file=sys.stderr)
            else:
                print(line(result.case))
        if failed:
            raise typer.Exit(1)

    calling(server, token_file, work)


@app.command()
def withdraw(case_id: str, comment: Comment = "", server: Server = SERVER, token_file: TokenFile = None) -> None:
    """Take back a decision that waits for a second person."""
    one_case(server, token_file, "Withdraw", pb.WithdrawRequest(case_id=case_id, comment=comment))


@app.command()
def appeal(
    case_id: str,
    appellant: Annotated[str, typer.Option(help="Who appeals, as the platform names them.")],
    statement: Annotated[str, typer.Option(help="What they say.")] = "",
    server: Server = SERVER,
    token_file: TokenFile = None,
) -> None:
    """Bring a decided case before another person."""
    request = pb.AppealRequest(case_id=case_id, appellant=appellant, statement=statement)
    one_case(server, token_file, "Appeal", request)


@app.command()
def refer(
    case_id: str,
    recipient: Annotated[str, typer.Option(help="One of those that the service knows.")],
    reason: Annotated[str, typer.Option(help="Why it is of value to them.")],
    server: Server = SERVER,
    token_file: TokenFile = None,
) -> None:
    """Propose to hand a confirmed case to somebody outside, and print the referral."""
    _referral(server, token_file, "Refer", pb.ReferRequest(case_id=case_id, recipient=recipient, reason=reason))


@app.command()
def approve(referral_id: str, comment: Comment = "", server: Server = SERVER, token_file: TokenFile = None) -> None:
    """Approve a referral that somebody else proposed."""
    _referral(
        server, token_file, "ApproveReferral", pb.ApproveReferralRequest(referral_id=referral_id, comment=comment)
    )


@app.command()
def cancel(referral_id: str, comment: Comment = "", server: Server = SERVER, token_file: TokenFile = None) -> None:
    """Take a referral back that was proposed, or whose delivery failed."""
    request = pb.CancelReferralRequest(referral_id=referral_id, comment=comment)
    _referral(server, token_file, "CancelReferral", request)


@app.command()
def receipt(referral_id: str, number: str, server: Server = SERVER, token_file: TokenFile = None) -> None:
    """Keep the number under which the recipient filed a referral."""
    request = pb.RecordReceiptRequest(referral_id=referral_id, receipt_number=number)
    _referral(server, token_file, "RecordReceipt", request)


def _referral(server: str, token_file: Path | None, method: str, request: Message) -> None:
    async def work(call: Call) -> None:
        print(_json(await call(method, request)))

    calling(server, token_file, work)


def _claimed(text: str) -> pb.ClaimedCase:
    case_id, _, token = text.rpartition(":")
    if not (case_id and token.isascii() and token.isdigit() and len(token) < 19):
        raise typer.BadParameter(f"{text!r} is not CASE:TOKEN, as `wildgate cases claim` prints it")
    return pb.ClaimedCase(case_id=case_id, fencing_token=int(token))


def _json(message: Message) -> str:
    return MessageToJson(message, preserving_proto_field_name=True, indent=None)
