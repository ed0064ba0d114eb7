"""A decision is taken back before anybody outside is told."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
import pytest
from enforcement_under_test import Clock, EnforcementUnderTest, decision, enforcing, subject, verdict

from wildgate_enforcement.database import Database
from wildgate_enforcement.outbox import DeliveryRefused, DeliverySettings, Outbox, Outgoing
from wildgate_enforcement.policy import EnforcementPolicy
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


async def decide(
    service: EnforcementUnderTest, who: str, case_id: str, kind: str = "KIND_CONFIRM", undo_s: int = 60
) -> int:
    """Claims and decides; the lease's token."""
    person = service.as_(who)
    token = (await person.Claim(case_id=case_id)).fencing_token
    claimed = pb.ClaimedCase(case_id=case_id, fencing_token=token)
    [result] = (await person.Decide(cases=[claimed], decision=decision(kind), undo_s=undo_s)).results
    assert not result.HasField("error"), result.error.message
    return int(token)


async def undo(service: EnforcementUnderTest, who: str, case_id: str, token: int, comment: str = "") -> pb.Case:
    case: pb.Case = await service.as_(who).Withdraw(case_id=case_id, fencing_token=token, comment=comment)
    return case


async def facts(service: EnforcementUnderTest, case_id: str) -> tuple[object, ...]:
    case = await service.as_("ann/moderator").GetCase(case_id=case_id)
    return (*(getattr(case, name) for name in _FACTS), [each.state for each in case.reports])


@pytest.mark.parametrize("kind", ["KIND_CONFIRM", "KIND_HARMLESS", "KIND_ESCALATE", "KIND_NOT_SURE"])
async def test_what_is_undone_in_time_is_told_to_nobody_and_was_never_decided(
    service: EnforcementUnderTest, told: Told, clock: Clock, kind: str
) -> None:
    case_id = await reported(service)
    before = await facts(service, case_id)
    token = await decide(service, "ann/moderator", case_id, kind)
    clock.advance(59)
    assert not await told.so_far()
    for _ in range(2):  # the second time, for an answer that was lost
        await undo(service, "ann/moderator", case_id, token, "the wrong key")
        assert await facts(service, case_id) == before
    again = pb.ClaimedCase(case_id=case_id, fencing_token=token)
    [result] = (await service.as_("ann/moderator").Decide(cases=[again], decision=decision(kind))).results
    assert "released, decided or given" in result.error.message, "a form that is sent once more"
    clock.advance(3600)
    assert not await told.so_far()
    decided = await service.decide("ann/moderator", case_id, "KIND_HARMLESS")
    assert decided.case.state == pb.CASE_STATE_HARMLESS
    assert await told.so_far() == [("notice", "restore"), ("report_outcome", "harmless")]


async def test_what_is_not_undone_is_told_when_the_time_is_over_and_stands(
    service: EnforcementUnderTest, told: Told, clock: Clock
) -> None:
    case_id = await reported(service)
    token = await decide(service, "ann/moderator", case_id)
    clock.advance(60)
    assert await told.so_far() == [("block", ""), ("notice", "remove"), ("report_outcome", "confirmed")]
    with pytest.raises(grpc.aio.AioRpcError, match="the time to undo the decision is over"):
        await undo(service, "ann/moderator", case_id, token)


async def test_an_undone_reversal_leaves_the_case_appealed_and_blocked(
    service: EnforcementUnderTest, told: Told, clock: Clock
) -> None:
    case_id = await reported(service)
    await service.decide("ann/moderator", case_id)
    await service.as_("platform/reporter").Appeal(case_id=case_id, appellant="uploader", statement="a prop")
    before, told_before = await facts(service, case_id), await told.so_far()
    token = await decide(service, "ben/moderator", case_id, "KIND_HARMLESS", undo_s=30)
    await undo(service, "ben/moderator", case_id, token)
    clock.advance(60)
    assert await facts(service, case_id) == before
    assert await told.so_far() == told_before


async def test_only_who_decided_may_undo_and_only_while_nobody_went_on(service: EnforcementUnderTest) -> None:
    case_id = await service.open()
    token = await decide(service, "ann/moderator", case_id, "KIND_HARMLESS")
    with pytest.raises(grpc.aio.AioRpcError, match="you made no decision under that lease"):
        await undo(service, "sue/senior", case_id, token)
    await service.as_("platform/reporter").Appeal(case_id=case_id, appellant="uploader", statement="look again")
    with pytest.raises(grpc.aio.AioRpcError, match="somebody went on"):
        await undo(service, "ann/moderator", case_id, token)


async def test_a_senior_undoes_their_own_decision_and_never_the_first_person_s(
    database: Database, clock: Clock
) -> None:
    async with enforcing(database, clock, EnforcementPolicy(second_share=1.0)) as service:
        case_id = await service.open()
        await service.decide("ann/moderator", case_id)
        token = await decide(service, "sue/senior", case_id, "KIND_NOT_SURE")
        await service.as_("ben/moderator").Claim(case_id=case_id)
        with pytest.raises(grpc.aio.AioRpcError, match="somebody went on"):
            await undo(service, "sue/senior", case_id, token)
        case = await service.as_("ann/moderator").GetCase(case_id=case_id)
        assert (case.state, [each.withdrawn for each in case.decisions]) == (pb.CASE_STATE_SECOND, [False, False])


async def test_what_was_told_meanwhile_or_referred_cannot_be_undone(service: EnforcementUnderTest, told: Told) -> None:
    gateway, lea = service.as_("gw/gateway"), service.as_("lea/liaison")
    case_id = await reported(service)
    token = await decide(service, "ann/moderator", case_id)
    await gateway.OpenCase(subject=subject(2), verdict=verdict(digest=DIGEST))  # a copy, removed at once
    assert await told.so_far() == [("notice", "remove")]
    with pytest.raises(grpc.aio.AioRpcError, match="told outside already"):
        await undo(service, "ann/moderator", case_id, token)

    other = await service.open()
    token = await decide(service, "ann/moderator", other)
    await lea.Refer(case_id=other, recipient="desk", reason="repeat offender")
    with pytest.raises(grpc.aio.AioRpcError, match="a referral was proposed"):
        await undo(service, "ann/moderator", other, token)


async def test_a_referral_of_before_that_is_signed_meanwhile_holds_the_decision(
    service: EnforcementUnderTest, clock: Clock
) -> None:
    case_id = await service.open()
    await service.decide("ann/moderator", case_id)
    referral = await service.as_("lea/liaison").Refer(case_id=case_id, recipient="desk", reason="repeat offender")
    await service.as_("platform/reporter").Appeal(case_id=case_id, appellant="uploader", statement="a prop")
    clock.advance(1)
    token = await decide(service, "ben/moderator", case_id)
    await service.as_("leo/liaison").ApproveReferral(referral_id=referral.id)
    with pytest.raises(grpc.aio.AioRpcError, match="signed since"):
        await undo(service, "ben/moderator", case_id, token)


async def test_a_notice_that_was_given_up_is_told_again_though_what_overtook_it_was_undone(
    service: EnforcementUnderTest, database: Database
) -> None:
    async def refuse(outgoing: Outgoing) -> None:
        raise DeliveryRefused("not today")

    case_id = await service.open()
    await service.decide("ann/moderator", case_id)
    await Outbox(database, {"notice": refuse}, DeliverySettings()).tell_due()
    await service.as_("platform/reporter").Appeal(case_id=case_id, appellant="uploader", statement="a prop")
    token = await decide(service, "ben/moderator", case_id, "KIND_HARMLESS")
    await undo(service, "ben/moderator", case_id, token)
    assert len((await service.as_("adam/administrator").Replay()).delivery_ids) == 1


@pytest.mark.parametrize("undo_s", [-1, 61])
async def test_a_time_to_undo_is_a_minute_at_most(service: EnforcementUnderTest, undo_s: int) -> None:
    with pytest.raises(AssertionError, match="undo_s"):
        await decide(service, "ann/moderator", await service.open(), undo_s=undo_s)
