"""`wildgate cases` against a real service: what people do that no other test does by command, and what comes back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from enforcement_process import cases
from enforcement_under_test import Clock, EnforcementUnderTest, subject, verdict

from wildgate_detector.own_pictures import OwnPictures
from wildgate_enforcement.database import wall_clock_ms
from wildgate_proto.v1 import scoring_pb2

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the database makes no difference


class Desk:
    """Commands of one person after the other."""

    def __init__(self, service: EnforcementUnderTest, folder: Path) -> None:
        self._address, self._folder = service.address, folder

    async def __call__(self, who: str, *arguments: str) -> str:
        file = self._folder / who.replace("/", "-")
        file.write_text(who)
        return await asyncio.to_thread(cases, *arguments, server=self._address, token_file=file)


@pytest.fixture
def clock() -> Clock:
    return Clock(wall_clock_ms())  # `snooze` counts from now


@pytest.fixture
def desk(service: EnforcementUnderTest, tmp_path: Path) -> Desk:
    return Desk(service, tmp_path)


async def test_cases_are_put_off_and_passed_on(service: EnforcementUnderTest, clock: Clock, desk: Desk) -> None:
    case_id = await service.open()
    claimed = await desk("ann/moderator", "claim", case_id)
    assert case_id in await desk("ann/moderator", "snooze", claimed, "--hours", "2")
    clock.advance(3 * 3600)
    leased = await desk("sue/senior", "reassign", case_id, "ben")
    assert "CONFIRMED" in await desk("ben/moderator", "decide", "confirm", leased, "--label", "ivory", "--reason", "x")
    told = (await desk("adam/administrator", "deliveries", "--state", "waiting")).splitlines()
    assert [json.loads(line)["kind"] for line in told] == ["block", "notice"]


async def test_a_referral_that_was_proposed_is_taken_back(service: EnforcementUnderTest, desk: Desk) -> None:
    case_id = await service.open()
    await service.decide("ann/moderator", case_id)
    referral = await service.as_("lea/liaison").Refer(case_id=case_id, recipient="desk", reason="repeat offender")
    cancelled = json.loads(await desk("sue/senior", "cancel", referral.id, "--comment", "too thin"))
    assert cancelled["state"] == "STATE_CANCELLED"


def seen(at: float = 1.5, label: str = "ivory", x2: float = 0.75) -> scoring_pb2.Verdict:
    made = verdict()
    made.detections.add(label=label, score=0.8, time_s=at, box=scoring_pb2.Box(x1=0.25, y1=0.5, x2=x2, y2=1.0))
    return made


async def test_decided_cases_go_back_to_the_detector(service: EnforcementUnderTest, desk: Desk, tmp_path: Path) -> None:
    async def decided(number: int, one: scoring_pb2.Verdict, kind: str, label: str) -> None:
        opened = await service.as_("gw/gateway").OpenCase(subject=subject(number), verdict=one)
        result = await service.decide("ann/moderator", opened.case_id, kind, label=label)
        assert not result.HasField("error")

    both = seen()
    both.detections.add(label="horn", score=0.7, time_s=1.5, box=scoring_pb2.Box(x1=0.0, y1=0.0, x2=0.5, y2=0.5))
    await decided(1, both, "KIND_CONFIRM", "ivory")
    await decided(2, seen(x2=1.5), "KIND_CONFIRM", "ivory")
    await decided(3, seen(), "KIND_HARMLESS", "")
    await decided(4, seen(), "KIND_HARMLESS", "ivory")  # lawful
    await decided(5, seen(at=9.0), "KIND_CONFIRM", "ivory")  # no box in the picture
    await decided(6, seen(), "KIND_CONFIRM", "horn")  # found under another label
    await service.open()  # nobody decided

    written = await desk("otto/auditor", "data-set", str(tmp_path / "data"))
    assert written == f"3 pictures in {tmp_path / 'data/coco.json'}; 3 left out"
    coco = json.loads((tmp_path / "data/coco.json").read_text())
    assert sorted((each["bbox"], each["iscrowd"]) for each in coco["annotations"]) == [
        ([0.0, 0.0, 16.0, 12.0], 1), ([8.0, 12.0, 16.0, 12.0], 0), ([8.0, 12.0, 24.0, 12.0], 0),
    ]  # fmt: skip
    pictures = OwnPictures.read(tmp_path / "data/coco.json")
    assert pictures.labels == ("ivory",)
    assert len(pictures.trained) + len(pictures.held_out) == 3


async def test_the_report_is_a_table_and_a_picture(service: EnforcementUnderTest, desk: Desk, tmp_path: Path) -> None:
    await service.decide("ann/moderator", await service.open())
    table = await desk("otto/auditor", "report", "--picture", str(tmp_path / "report.svg"))
    assert "100%" in table
    texts = [each.text for each in ElementTree.parse(tmp_path / "report.svg").iter() if each.tag.endswith("text")]
    assert texts.count("ivory") == 3
