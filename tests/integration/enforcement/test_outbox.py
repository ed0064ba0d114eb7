"""What is told outside: at least once, in order, and nothing is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from enforcement_under_test import Clock, EnforcementUnderTest

from wildgate_enforcement.database import Database
from wildgate_enforcement.outbox import DeliveryRefused, DeliverySettings, Outbox, Outgoing
from wildgate_proto.v1 import cases_pb2 as pb

SETTINGS = DeliverySettings(attempts=3, first_wait_s=10, attempt_s=60)


class Receiver:
    """Keeps what it is told, and fails as it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.told: list[Outgoing] = []
        self._failures = list(failures)

    async def __call__(self, outgoing: Outgoing) -> None:
        self.told.append(outgoing)
        if self._failures:
            raise self._failures.pop(0)


def outbox(database: Database, send: Callable[[Outgoing], Awaitable[None]]) -> Outbox:
    return Outbox(database, {"notice": send}, SETTINGS)


async def states(service: EnforcementUnderTest) -> list[str]:
    listed = (await service.as_("adam/administrator").ListDeliveries()).deliveries
    return [pb.Delivery.State.Name(each.state).lower()[6:] for each in listed if each.kind == "notice"]


@pytest.fixture
async def confirmed(service: EnforcementUnderTest) -> str:
    case_id = await service.open()
    await service.decide("ann/moderator", case_id)
    return case_id


async def reverse(service: EnforcementUnderTest, case_id: str) -> None:
    await service.as_("platform/reporter").Appeal(case_id=case_id, appellant="uploader", statement="a prop")
    await service.decide("ben/moderator", case_id, "KIND_HARMLESS")


async def test_what_fails_is_told_again_later_under_the_same_id(
    service: EnforcementUnderTest, database: Database, clock: Clock, confirmed: str
) -> None:
    receiver = Receiver(ConnectionError("away"), ConnectionError("away"))
    box = outbox(database, receiver)
    for wait_s in (0, 9, 1, 19, 1):
        clock.advance(wait_s)
        await box.tell_due()
    assert len(receiver.told) == 3
    assert len({each.message_id for each in receiver.told}) == 1
    assert await states(service) == ["delivered"]


async def test_a_clock_that_was_put_back_holds_up_nothing(
    service: EnforcementUnderTest, database: Database, clock: Clock
) -> None:
    receiver = Receiver()
    clock.advance(1e8)
    await service.decide("ann/moderator", await service.open())
    clock.advance(-1e8)
    await outbox(database, receiver).tell_due()
    assert len(receiver.told) == 1


async def test_what_a_killed_process_was_telling_is_told_again(
    service: EnforcementUnderTest, database: Database, clock: Clock, confirmed: str
) -> None:
    never = asyncio.Event()
    reached = asyncio.Event()

    async def hang(outgoing: Outgoing) -> None:
        reached.set()
        await never.wait()

    killed = asyncio.create_task(outbox(database, hang).tell_due())
    await reached.wait()
    killed.cancel()
    receiver = Receiver()
    assert await outbox(database, receiver).tell_due() == 0
    clock.advance(2 * SETTINGS.attempt_s)
    assert await outbox(database, receiver).tell_due() == 1
    assert await states(service) == ["delivered"]


async def test_two_processes_tell_nothing_twice(
    service: EnforcementUnderTest, database: Database, confirmed: str
) -> None:
    for _ in range(10):
        await service.decide("ann/moderator", await service.open())
    receiver = Receiver()
    await asyncio.gather(*(outbox(database, receiver).tell_due() for _ in range(4)))
    assert len(receiver.told) == len({each.id for each in receiver.told}) == 11


async def test_a_notice_waits_for_the_one_before_it(
    service: EnforcementUnderTest, database: Database, clock: Clock, confirmed: str
) -> None:
    await reverse(service, confirmed)
    receiver = Receiver(ConnectionError("away"))
    box = outbox(database, receiver)
    for wait_s in (0, 0, 10, 0, 0):
        clock.advance(wait_s)
        await box.tell_due()
    assert [each.payload["action"] for each in receiver.told] == ["remove", "remove", "restore"]


@pytest.mark.parametrize("failures", [[DeliveryRefused("404")], [ConnectionError("away")] * SETTINGS.attempts])
async def test_what_is_refused_or_fails_too_often_is_given_up_and_can_be_replayed(
    service: EnforcementUnderTest, database: Database, clock: Clock, confirmed: str, failures: list[Exception]
) -> None:
    receiver = Receiver(*failures)
    box = outbox(database, receiver)
    for _ in range(5):
        await box.tell_due()
        clock.advance(40)
    assert len(receiver.told) == len(failures)
    assert await states(service) == ["dead"]
    assert len((await service.as_("adam/administrator").Replay()).delivery_ids) == 1
    await box.tell_due()
    assert await states(service) == ["delivered"]


async def test_a_replay_does_not_undo_what_was_told_since(
    service: EnforcementUnderTest, database: Database, confirmed: str
) -> None:
    receiver = Receiver(DeliveryRefused("404"))
    box = outbox(database, receiver)
    await box.tell_due()
    await reverse(service, confirmed)
    await box.tell_due()
    assert not (await service.as_("adam/administrator").Replay()).delivery_ids
    assert await states(service) == ["superseded", "delivered"]
