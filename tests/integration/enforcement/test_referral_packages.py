"""Approved referrals become packages, and fail in the open."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from enforcement_under_test import EnforcementUnderTest, subject, verdict
from time_authority import time_authority

from wildgate_enforcement.database import Database
from wildgate_enforcement.errors import StartError
from wildgate_enforcement.outbox import DeliverySettings, Outbox
from wildgate_enforcement.referral.sealing import public_key
from wildgate_enforcement.referral.verification import verify_package
from wildgate_enforcement.referral_packages import ReferralSettings, referral_sender
from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_proto.v1 import scoring_pb2


def outbox(database: Database, folder: Path, url: str = "") -> Outbox:
    settings = ReferralSettings(
        recipients={"desk": "production"},
        folder=folder / "out",
        authority=url or (folder / "tsa/url").read_text(),
        authority_root=folder / "tsa/root.pem",
    )
    sender = referral_sender(settings, database, folder, attempts=1)
    assert sender
    return Outbox(database, {"referral": sender}, DeliverySettings(attempts=1))


async def approved(service: EnforcementUnderTest) -> pb.Referral:
    one = verdict()
    one.detections.add(label="ivory", score=0.8, time_s=1.5, box=scoring_pb2.Box(x1=0.25, y1=0.25, x2=0.5, y2=0.5))
    case_id = (await service.as_("gw/gateway").OpenCase(subject=subject(1), verdict=one)).case_id
    await service.decide("ann/moderator", case_id, comment="my neighbour sells this")
    referral = await service.as_("lea/liaison").Refer(case_id=case_id, recipient="desk", reason="sells every week")
    answer: pb.Referral = await service.as_("sue/senior").ApproveReferral(referral_id=referral.id)
    return answer


async def test_a_package_holds_what_may_leave_and_nobody_s_name(
    service: EnforcementUnderTest, database: Database, tmp_path: Path
) -> None:
    referral = await approved(service)
    with time_authority(tmp_path / "tsa"):
        await outbox(database, tmp_path).tell_due()
    package = tmp_path / f"out/desk/referral-{referral.case_id}"
    assert verify_package(package, public_key(tmp_path / "referral-key.pem.pub")).faults == ()
    content = json.loads((package / "data/referral.json").read_bytes())
    assert [event["kind"] for event in content["history"]] == [
        "opened", "decided", "referral_proposed", "referral_approved",
    ]  # fmt: skip
    assert content["frames"][0]["boxes"][0]["right"] == 16
    assert "frames_looked_at" in content["verdict"]["coverage"]
    whole = json.dumps(content)
    assert not [word for word in ("neighbour", '"ann"', '"lea"', '"sue"') if word in whole]
    receipt = await service.as_("lea/liaison").RecordReceipt(referral_id=referral.id, receipt_number="A-17")
    assert receipt.state == pb.Referral.STATE_RECEIVED


async def test_what_cannot_be_made_is_failed_and_can_be_replayed(
    service: EnforcementUnderTest, database: Database, tmp_path: Path
) -> None:
    referral = await approved(service)
    with time_authority(tmp_path / "tsa"):
        await outbox(database, tmp_path, "http://127.0.0.1:1/").tell_due()
        case = await service.as_("lea/liaison").GetCase(case_id=referral.case_id)
        assert case.referrals[0].state == pb.Referral.STATE_FAILED
        assert "time stamp" in case.referrals[0].failure
        await service.as_("adam/administrator").Replay()
        await outbox(database, tmp_path).tell_due()
    case = await service.as_("lea/liaison").GetCase(case_id=referral.case_id)
    assert case.referrals[0].state == pb.Referral.STATE_SENT


@pytest.mark.parametrize(
    "settings",
    [{"recipients": {"desk": "test"}}, {"recipients": {"../desk": "test"}, "authority": "http://x/"}],
)
def test_recipients_without_a_folder_or_with_a_path_for_a_name_do_not_start(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    (tmp_path / "root.pem").write_text("")
    if "authority" in settings:
        settings |= {"folder": tmp_path, "authority_root": tmp_path / "root.pem"}
    with pytest.raises(StartError, match=r"referral\.recipients"):
        referral_sender(ReferralSettings.model_validate(settings), Database("sqlite+aiosqlite://"), tmp_path, 1)
