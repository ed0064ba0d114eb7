"""`wildgate cases verify-log`, `report` and `replay`: for auditors and administrators."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from wildgate_client.connection_options import TokenFile
from wildgate_client.result_table import print_table
from wildgate_enforcement.calling import SERVER, Call, Server, calling
from wildgate_enforcement.event_chain import ChainCheck, Link, SignedHead
from wildgate_enforcement.quality import Quality, quality
from wildgate_enforcement.referral.sealing import public_key
from wildgate_proto.v1 import cases_pb2 as pb

__all__ = ["replay", "report", "verify_log"]


def verify_log(
    key: Annotated[
        Path | None,
        typer.Option(metavar="PUB", help="Public key (PEM) that signs the log; without it, any signature counts."),
    ] = None,
    server: Server = SERVER,
    token_file: TokenFile = None,
) -> None:
    """Fetch the whole log, and check here that every event is as it was."""

    async def work(call: Call) -> None:
        check = ChainCheck(public_key(key).public_bytes_raw() if key else None)
        async for _ in _events(call, check):
            pass
        trusted = "" if key else ", by keys that were not checked"
        print(f"{check.position} events hold, up to {check.signed_position} signed{trusted}; head {check.hash.hex()}")

    calling(server, token_file, work)


def report(server: Server = SERVER, token_file: TokenFile = None) -> None:
    """Print how good verdicts and decisions are, by week and label, from the log."""

    async def work(call: Call) -> None:
        events = [json.loads(link.canonical) async for link in _events(call, ChainCheck())]
        table = Table("week", "label", *_COLUMNS)
        for (week, label), row in quality(events).items():
            table.add_row(week, Text(label), *(show(row) for show in _COLUMNS.values()))
        print_table(table, sys.stdout)

    calling(server, token_file, work)


def replay(
    delivery: Annotated[list[int] | None, typer.Argument(help="Ids; all that were given up by default.")] = None,
    server: Server = SERVER,
    token_file: TokenFile = None,
) -> None:
    """Tell again what was given up."""

    async def work(call: Call) -> None:
        again = (await call("Replay", pb.ReplayRequest(delivery_ids=delivery or ()))).delivery_ids
        print(f"{len(again)} are told again: {', '.join(map(str, again)) or 'none'}")

    calling(server, token_file, work)


_COLUMNS: dict[str, Callable[[Quality], str]] = {
    "decided": lambda row: str(row.confirmed + row.harmless),
    "precision": lambda row: _percent(row.precision),
    "ALLOWs sampled": lambda row: str(row.samples),
    "wrong": lambda row: _percent(row.wrong_allows),
    "second agrees": lambda row: _percent(row.agreement),
    "appeals upheld": lambda row: f"{row.upheld} of {row.upheld + row.reversed}",
    "median hours": lambda row: "" if row.median_hours is None else f"{row.median_hours:.1f}",
}


async def _events(call: Call, check: ChainCheck) -> AsyncIterator[Link]:
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


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"
