"""How the commands of `wildgate cases` reach the service, and what they print of a case."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from google.protobuf.message import Message

from wildgate_client import ClientOptions
from wildgate_client._status import error_from_rpc
from wildgate_client.connection_options import chosen_credentials
from wildgate_client.errors import ScoringError
from wildgate_enforcement.event_chain import ChainBroken
from wildgate_enforcement.referral.referral import ReferralError
from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_proto.v1 import scoring_pb2
from wildgate_proto.v1.cases_pb2_grpc import CaseServiceStub

__all__ = ["SERVER", "Call", "Comment", "Server", "calling", "line", "one_case"]

_CALL_S = 30.0

Server = Annotated[str, typer.Option(envvar="WILDGATE_CASES", help="The enforcement service, HOST:PORT.")]
SERVER = "127.0.0.1:8102"
Comment = Annotated[str, typer.Option(help="For colleagues; never leaves the service.")]

Call = Callable[[str, Message], Coroutine[Any, Any, Any]]
"""Makes a call of CaseService: its name, its request. Raises ScoringError."""


def calling(server: str, token_file: Path | None, work: Callable[[Call], Coroutine[Any, Any, None]]) -> None:
    """Does `work` with the service; what goes wrong is printed, and ends the command with status 1."""
    try:
        options = ClientOptions(credentials=chosen_credentials.get(), token_file=token_file)
        asyncio.run(_connected(server, options, work))
    except (ScoringError, ChainBroken, ReferralError, OSError) as error:
        print(f"wildgate cases: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


def one_case(server: str, token_file: Path | None, method: str, request: Message) -> None:
    """Makes one call, and prints the case that it returns."""

    async def work(call: Call) -> None:
        print(line(await call(method, request)))

    calling(server, token_file, work)


def line(case: pb.Case) -> str:
    """A case on one line; whatever its labels hold, a terminal only shows it."""
    state = pb.CaseState.Name(case.state).removeprefix("CASE_STATE_")
    action = scoring_pb2.Action.Name(case.verdict.action).removeprefix("ACTION_")
    labels = ",".join(sorted({label.label for label in case.verdict.labels}))
    held = f"held by {case.assignee}" if case.assignee else ""
    text = "  ".join(filter(None, (case.id, f"{state:9}", action, labels, held, case.second_reason))).rstrip()
    return "".join(each if each.isprintable() else "?" for each in text)


async def _connected(server: str, options: ClientOptions, work: Callable[[Call], Coroutine[Any, Any, None]]) -> None:
    async with options.channel(server) as channel:
        stub = CaseServiceStub(channel)  # type: ignore[no-untyped-call]

        async def call(method: str, request: Message) -> Any:
            try:
                return await getattr(stub, method)(request, metadata=options.call_metadata(), timeout=_CALL_S)
            except grpc.aio.AioRpcError as error:
                raise error_from_rpc(error) from error

        await work(call)
