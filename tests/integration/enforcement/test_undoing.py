"""A decision is taken back before anybody outside is told."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
import pytest
from enforcement_under_test import Clock, EnforcementUnderTest, subject, verdict

from wildgate_enforcement.database import Database
from wildgate_enforcement.outbox import DeliverySettings, Outbox, Outgoing
from wildgate_proto.v1 import cases_pb2 as pb

DIGEST = f"blake3:{'ab' * 32}"
_FACTS = ("state", "rank", "block_id", "second_reason")


class Told:
    """Everything that is told outside, at once."""

    def __init__(self, database: Database) -> None:
        self._all: list[tuple[str, str]] = []
        self._outbox = Outbox(
            database, dict.fromkeys(("notice", "block", "report_outcome"), self._send), DeliverySettings()
        )

    async def _send(self, outgoing: Outgoing) -> None:
        self._all.append((outgoing.kind, outgoing.payload.get("action") or outgoing.payload.get("outcome", "")))

    async def so_far(self) -> Sequence[tuple[str, str]]:
        """What kind of thing, and what it says."""
        while await self._outbox.tell_due():
            pass
        return sorted(self._all)


@pytest.fixture
def told(database: Database) -> Told:
    return Told(database)


async def reported(service: EnforcementUnderTest) -> str:
    """A case with a report."""
    opened = await service.as_("gw/gateway").OpenCase(subject=subject(1), verdict=verdict(digest=DIGEST))
    await report(service, "r1")
    return str(opened.case_id)


async def report(service: EnforcementUnderTest, report_id: str) -> pb.Report:
    filed: pb.Report = await service.as_("platform/reporter").Report(
        report_id=report_id, reason="ivory", source=pb.REPORT_SOURCE_USER, reporter="rob", content_digest=DIGEST
    )
    return filed


async def facts(service: EnforcementUnderTest, case_id: str) -> tuple[object, ...]:
    case = await service.as_("ann/moderator").GetCase(case_id=case_id)
    return (*(getattr(case, name) for name in _FACTS), [each.state for each in case.reports])


@pytest.mark.parametrize("kind", ["KIND_CONFIRM", "KIND_HARMLESS", "KIND_ESCALATE", "KIND_NOT_SURE"])
async def test_what_is_undone_in_time_is_told_to_nobody_and_was_never_decided(
    service: EnforcementUnderTest, told: Told, clock: Clock, kind: str
) -> None:
    case_id = await reported(service)
    before = await facts(service, case_id)
    await service.decide("ann/moderator", case_id, kind, undo_s=60)
    clock.advance(59)
    assert not await told.so_far()
    await service.as_("ann/moderator").Withdraw(case_id=case_id, comment="the wrong key")
    assert await facts(service, case_id) == before
    clock.advance(3600)
    assert not await told.so_far()
    decided = await service.decide("ann/moderator", case_id, "KIND_HARMLESS")
    assert decided.case.state == pb.CASE_STATE_HARMLESS
    assert await told.so_far() == [("notice", "restore"), ("report_outcome", "harmless")]


async def test_what_is_not_undone_is_told_when_the_time_is_over_and_stands(
    service: EnforcementUnderTest, told: Told, clock: Clock
) -> None:
    case_id = await reported(service)
    await service.decide("ann/moderator", case_id, undo_s=60)
    clock.advance(60)
    assert await told.so_far() == [("block", ""), ("notice", "remove"), ("report_outcome", "confirmed")]
    with pytest.raises(grpc.aio.AioRpcError, match="the time to take the decision back is over"):
        await service.as_("ann/moderator").Withdraw(case_id=case_id)


async def test_an_undone_reversal_leaves_the_case_appealed_and_blocked(
    service: EnforcementUnderTest, told: Told, clock: Clock
) -> None:
    case_id = await reported(service)
    await service.decide("ann/moderator", case_id)
    await service.as_("platform/reporter").Appeal(case_id=case_id, appellant="uploader", statement="a prop")
    before, told_before = await facts(service, case_id), await told.so_far()
    await service.decide("ben/moderator", case_id, "KIND_HARMLESS", undo_s=30)
    await service.as_("ben/moderator").Withdraw(case_id=case_id)
    clock.advance(60)
    assert await facts(service, case_id) == before
    assert await told.so_far() == told_before


async def test_only_who_decided_may_undo_and_only_while_nobody_went_on(service: EnforcementUnderTest) -> None:
    case_id = await service.open()
    await service.decide("ann/moderator", case_id, "KIND_HARMLESS", undo_s=60)
    with pytest.raises(grpc.aio.AioRpcError, match="the time to take the decision back is over"):
        await service.as_("sue/senior").Withdraw(case_id=case_id)
    await service.as_("platform/reporter").Appeal(case_id=case_id, appellant="uploader", statement="look again")
    with pytest.raises(grpc.aio.AioRpcError, match="cannot take the step withdraw"):
        await service.as_("ann/moderator").Withdraw(case_id=case_id)


async def test_what_was_told_meanwhile_or_referred_cannot_be_undone(service: EnforcementUnderTest, told: Told) -> None:
    gateway, ann = service.as_("gw/gateway"), service.as_("ann/moderator")
    case_id = await reported(service)
    await service.decide("ann/moderator", case_id, undo_s=60)
    await gateway.OpenCase(subject=subject(2), verdict=verdict(digest=DIGEST))  # a copy, removed at once
    assert await told.so_far() == [("notice", "remove")]
    with pytest.raises(grpc.aio.AioRpcError, match="told outside already"):
        await ann.Withdraw(case_id=case_id)

    other = await service.open()
    await service.decide("ann/moderator", other, undo_s=60)
    await service.as_("lea/liaison").Refer(case_id=other, recipient="desk", reason="repeat offender")
    with pytest.raises(grpc.aio.AioRpcError, match="a referral was proposed"):
        await ann.Withdraw(case_id=other)


@pytest.mark.parametrize("undo_s", [-1, 61])
async def test_a_time_to_undo_is_a_minute_at_most(service: EnforcementUnderTest, undo_s: int) -> None:
    refused = await service.decide("ann/moderator", await service.open(), undo_s=undo_s)
    assert "undo_s" in refused.error.message
