"""What the platform is told: by a real receiver, from cases in a real database."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest
from enforcement_under_test import Clock, EnforcementUnderTest
from notice_receiver import NoticeReceiver, notice_receiver

from wildgate_enforcement.database import Database
from wildgate_enforcement.errors import StartError
from wildgate_enforcement.outbox import DeliverySettings, Outbox
from wildgate_enforcement.platform_notices import PlatformSettings, platform_senders
from wildgate_proto.v1 import cases_pb2 as pb

SECRET = "whsec_b2xkIHNlY3JldCBvZiBzb21lIHNpemU="


def outbox(
    database: Database, receiver: NoticeReceiver, folder: Path, legal_ground: str = "CITES, article III"
) -> Outbox:
    (folder / "secrets").write_text(SECRET)
    settings = PlatformSettings(
        url=receiver.url,
        secrets=folder / "secrets",
        private_networks=(ip_network("127.0.0.0/8"),),
        legal_ground="CITES, article III",
    )
    return Outbox(database, platform_senders(settings), DeliverySettings(first_wait_s=1))


async def states(service: EnforcementUnderTest) -> list[int]:
    listed = (await service.as_("adam/administrator").ListDeliveries()).deliveries
    return [each.state for each in listed if each.kind == "notice"]


async def test_a_removal_comes_with_its_statement_of_reasons_and_reporters_are_told(
    service: EnforcementUnderTest, database: Database, tmp_path: Path
) -> None:
    case_id = await service.open()
    video = (await service.as_("ann/moderator").GetCase(case_id=case_id)).subjects[0]
    await service.as_("platform/reporter").Report(
        report_id="r1", subject=video, reason="ivory", reporter="rob", source=pb.REPORT_SOURCE_TRUSTED_FLAGGER
    )
    await service.decide("ann/moderator", case_id)
    with notice_receiver(SECRET) as receiver:
        await outbox(database, receiver, tmp_path).tell_due()
    told = {notice.content["type"]: notice.content for notice in receiver.notices}
    assert told["report_outcome"] == {"type": "report_outcome", "report_id": "r1", "outcome": "confirmed"}
    decision = told["decision"]
    assert (decision["action"], decision["video_id"]) == ("remove", video.video_id)
    statement = decision["statement_of_reasons"]
    assert statement["decision_facts"] == "carved tusk for sale"
    assert (statement["source_type"], statement["automated_detection"]) == ("SOURCE_TRUSTED_FLAGGER", "No")
    assert "ann" not in str(decision.values())


async def test_a_reason_with_personal_data_goes_to_the_platform_and_into_no_statement(
    service: EnforcementUnderTest, database: Database, tmp_path: Path
) -> None:
    await service.decide("ann/moderator", await service.open(), reason="sold by seller@mail.example")
    with notice_receiver(SECRET) as receiver:
        await outbox(database, receiver, tmp_path).tell_due()
    [notice] = receiver.notices
    assert "statement_of_reasons" not in notice.content


async def test_a_platform_that_asks_to_wait_is_not_asked_sooner(
    service: EnforcementUnderTest, database: Database, tmp_path: Path, clock: Clock
) -> None:
    await service.decide("ann/moderator", await service.open())
    with notice_receiver(SECRET, statuses=[429]) as receiver:
        receiver.headers["Retry-After"] = "120"
        box = outbox(database, receiver, tmp_path)
        for wait_s in (0, 119, 1):
            clock.advance(wait_s)
            await box.tell_due()
    assert len(receiver.requests) == 2
    assert await states(service) == [pb.Delivery.STATE_DELIVERED]


async def test_an_endpoint_that_is_gone_is_not_asked_again(
    service: EnforcementUnderTest, database: Database, tmp_path: Path
) -> None:
    with notice_receiver(SECRET, statuses=[410]) as receiver:
        box = outbox(database, receiver, tmp_path)
        for _ in range(2):
            await service.decide("ann/moderator", await service.open())
            await box.tell_due()
    assert len(receiver.requests) == 1
    assert await states(service) == [pb.Delivery.STATE_DEAD] * 2


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_without_secrets_nothing_starts(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "secrets").write_text(content)
    with pytest.raises(StartError, match=r"platform\.secrets"):
        platform_senders(PlatformSettings(url="https://platform.example/", secrets=tmp_path / "secrets"))
