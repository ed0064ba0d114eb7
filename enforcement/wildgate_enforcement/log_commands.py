"""`wildgate cases verify-log`, `deliveries` and `replay`: for auditors and administrators."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToJson

from wildgate_client.connection_options import TokenFile
from wildgate_enforcement.calling import SERVER, Call, Server, calling
from wildgate_enforcement.event_chain import ChainCheck, Link, SignedHead
from wildgate_enforcement.referral.sealing import public_key
from wildgate_proto.v1 import cases_pb2 as pb

__all__ = ["DeliveryState", "checked_events", "deliveries", "replay", "verify_log"]


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
        async for _ in checked_events(call, check):
            pass
        trusted = "" if key else ", by keys that were not checked"
        print(f"{check.position} events hold, up to {check.signed_position} signed{trusted}; head {check.hash.hex()}")

    calling(server, token_file, work)


class DeliveryState(StrEnum):
    """How what is told outside stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"
    SUPERSEDED = "superseded"


def deliveries(
    state: Annotated[DeliveryState | None, typer.Option(help="Only these; all by default. dead: given up.")] = None,
    server: Server = SERVER,
    token_file: TokenFile = None,
) -> None:
    """Print what was, or is to be, told outside, as one JSON object per line."""

    async def work(call: Call) -> None:
        after = 0
        wanted = f"STATE_{state.name}" if state else "STATE_UNSPECIFIED"
        while page := (
            await call("ListDeliveries", pb.ListDeliveriesRequest(state=wanted, after=after, page_size=1000))
        ).deliveries:
            for each in page:
                print(MessageToJson(each, preserving_proto_field_name=True, indent=None))
            after = page[-1].id

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


async def checked_events(call: Call, check: ChainCheck) -> AsyncIterator[Link]:
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
