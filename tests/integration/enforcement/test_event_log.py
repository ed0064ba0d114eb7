"""The log as an auditor fetches it: it holds, and what was done to it shows."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from enforcement_under_test import EnforcementUnderTest
from sqlalchemy import text

from wildgate_enforcement.database import Database
from wildgate_enforcement.event_chain import ChainBroken, ChainCheck, Link, SignedHead
from wildgate_enforcement.head_signing import HeadSigner, signing_key


async def checked(service: EnforcementUnderTest, key: bytes | None = None) -> ChainCheck:
    check, auditor = ChainCheck(key), service.as_("otto/auditor")
    while True:
        page = await auditor.ListEvents(after=check.position, page_size=3)
        check.follow(
            [Link(event.position, event.canonical, event.hash) for event in page.events],
            [
                SignedHead(head.position, head.hash, head.signed_ms, head.signature, head.public_key)
                for head in page.heads
            ],
        )
        if not page.events:
            check.finish()
            return check


@pytest.fixture
def signer(database: Database, tmp_path: Path) -> HeadSigner:
    return HeadSigner(database, signing_key(tmp_path / "key.pem"), 1.0)


async def test_the_log_of_many_at_once_holds_and_is_signed_to_its_end(
    service: EnforcementUnderTest, signer: HeadSigner, tmp_path: Path
) -> None:
    await asyncio.gather(*(service.open() for _ in range(10)))
    await signer.sign()
    await signer.sign()
    key = signing_key(tmp_path / "key.pem").public_key().public_bytes_raw()
    check = await checked(service, key)
    assert (check.position, check.signed_position) == (20, 20)
    with pytest.raises(ChainBroken, match="by another key"):
        await checked(service, bytes(32))


@pytest.mark.parametrize(
    ("done", "said"),
    [
        ("UPDATE events SET canonical = hash WHERE position = 5", "event 5 was changed"),
        ("DELETE FROM events WHERE position = 5", "event 5 is missing"),
        ("DELETE FROM events WHERE position >= 5", "event 20 was signed and the log ends at 4"),
        ("UPDATE events SET hash = canonical WHERE position = 20", "event 20 was changed"),
        ("UPDATE signed_heads SET signed_ms = signed_ms + 1", "the signature at event 20 does not hold"),
    ],
)
async def test_what_was_done_to_the_log_shows(
    service: EnforcementUnderTest, database: Database, signer: HeadSigner, done: str, said: str
) -> None:
    for _ in range(10):
        await service.open()
    await signer.sign()
    async with database.writing("intruder") as transaction:
        await transaction.session.execute(text(done))
    with pytest.raises(ChainBroken, match=said):
        await checked(service)


async def test_a_chain_that_was_computed_anew_does_not_match_what_was_signed(
    service: EnforcementUnderTest, database: Database, signer: HeadSigner
) -> None:
    await service.open()
    await signer.sign()
    async with database.writing("intruder") as transaction:
        await transaction.session.execute(text("DELETE FROM events"))
        await transaction.session.execute(text("UPDATE chain_end SET position = 0"))
    await service.open()
    with pytest.raises(ChainBroken, match="event 1 does not follow"):
        await checked(service)
