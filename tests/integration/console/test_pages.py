"""What pages hold, over real HTTP: referrals, blocked originals, figures."""

from __future__ import annotations

import io
import json
import random
import re
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from console_under_test import ConsoleUnderTest, console
from enforcement_under_test import PICTURE, subject, verdict
from time_authority import time_authority

from wildgate_enforcement.outbox import DeliverySettings, Outbox
from wildgate_enforcement.referral.commands import referral_command
from wildgate_enforcement.referral_packages import ReferralSettings, referral_sender
from wildgate_server.blocks.fingerprint import mirrored

_NOT_ALLOWED, _CONFLICT = 403, 409


@pytest.fixture
def referrals(tmp_path: Path) -> Iterator[ReferralSettings]:
    with time_authority(tmp_path / "tsa"):
        yield ReferralSettings(
            recipients={"desk": "test"},
            folder=tmp_path / "out",
            authority=(tmp_path / "tsa/url").read_text(),
            authority_root=tmp_path / "tsa/root.pem",
        )


@pytest.fixture
async def running(tmp_path: Path, referrals: ReferralSettings) -> AsyncIterator[ConsoleUnderTest]:
    async with console(tmp_path, referral=referrals) as started:
        yield started


async def test_a_referral_is_read_signed_downloaded_and_verified(
    running: ConsoleUnderTest, referrals: ReferralSettings, tmp_path: Path
) -> None:
    case_id = await running.service.open()
    await running.service.decide("ann/moderator", case_id)
    async with (
        running.person("ann/moderator") as ann,
        running.person("lea/liaison") as lea,
        running.person("sue/senior") as sue,
    ):
        await lea.send_form(f"/cases/{case_id}/refer", recipient="desk", reason="sells every week")
        [referral] = (await running.service.as_("lea/liaison").GetCase(case_id=case_id)).referrals
        pages = [f"/referrals/{referral.id}/{part}" for part in ("document", "package")]

        document = await sue.get(pages[0])
        assert (document.headers["content-type"], document.content[:5]) == ("application/pdf", b"%PDF-")
        assert (await sue.get(pages[1])).status_code == _CONFLICT, "it has not left"
        assert {(await ann.get(page)).status_code for page in pages} == {_NOT_ALLOWED}
        assert (await sue.get("/referrals/x/document")).status_code == 404

        await sue.send_form(f"/referrals/{referral.id}/approve")
        sender = referral_sender(referrals, running.service.database, tmp_path, attempts=1)
        assert sender
        await Outbox(running.service.database, {"referral": sender}, DeliverySettings(attempts=1)).tell_due()
        assert pages[1] in (await lea.get(f"/cases/{case_id}")).text
        packed = await lea.get(pages[1])
        assert packed.headers["content-disposition"] == f'attachment; filename="test-referral-{case_id}.zip"'

    zipfile.ZipFile(io.BytesIO(packed.content)).extractall(tmp_path / "received")
    package = tmp_path / f"received/test-referral-{case_id}"
    verify = ["verify", str(package), "--key", str(tmp_path / "referral-key.pem.pub"), "--test"]
    assert referral_command(verify) == 0
    (package / "data/referral.pdf").write_bytes(document.content)
    assert referral_command(verify) == 1, "another document than the one that was signed"
    read = await running.events("referral_read")
    assert [(b'"actor":"sue"' in event, b'"part":"document"' in event) for event in read] == [
        (True, True),
        (False, False),
    ]


async def test_a_referral_holds_the_pictures_that_were_chosen(
    running: ConsoleUnderTest, referrals: ReferralSettings, tmp_path: Path
) -> None:
    seen = verdict()
    for at_s in (2.0, 3.0):
        seen.evidence.add(time_s=at_s, jpeg=PICTURE)
    case_id = (await running.service.as_("gw/gateway").OpenCase(subject=subject(1), verdict=seen)).case_id
    await running.service.decide("ann/moderator", case_id)
    sender = referral_sender(referrals, running.service.database, tmp_path, attempts=1)
    assert sender
    async with running.person("lea/liaison") as lea, running.person("sue/senior") as sue:
        chosen = {"recipient": "desk", "reason": "sells every week", "choose": "1"}
        refused = await lea.send_form(f"/cases/{case_id}/refer", **chosen, frame=["0", "7"])
        assert "no evidence frame 7" in refused.text
        assert re.findall(r'name="frame" value="(\d)" checked', refused.text) == ["0"], "what was chosen stays"
        for odd in ("-1", "one", str(1 << 31)):
            assert (await lea.send_form(f"/cases/{case_id}/refer", **chosen, frame=[odd])).status_code == 400
        await lea.send_form(f"/cases/{case_id}/refer", **chosen, frame=["2", "0"])
        [referral] = (await running.service.as_("lea/liaison").GetCase(case_id=case_id)).referrals
        assert list(referral.evidence.frames) == [0, 2]
        await sue.send_form(f"/referrals/{referral.id}/approve")
        await Outbox(running.service.database, {"referral": sender}, DeliverySettings(attempts=1)).tell_due()
    told = json.loads(next(tmp_path.glob("out/desk/*/data/referral.json")).read_text())
    assert [frame["time_s"] for frame in told["frames"]] == [seen.evidence[0].time_s, 3.0]


async def test_a_match_shows_what_it_resembles_and_the_case_that_had_it_blocked(running: ConsoleUnderTest) -> None:
    original = await running.service.open()
    copy = verdict()
    copy.block_matches.add(block_id="b1", label="ivory", source=f"case {original}", original={"start_s": 1.4})
    for other in ("case of nobody", "partner"):
        copy.block_matches.add(block_id=other, source=other)
    case_id = (await running.service.as_("gw/gateway").OpenCase(subject=subject(9), verdict=copy)).case_id
    async with running.person("ann/moderator") as ann:
        page = (await ann.get(f"/cases/{case_id}")).text
        assert re.findall(r"Blocked original</b> <a href=\"/cases/(\w+)\">", page) == [original]
        links = re.findall(r'/evidence/[^"]+', page)
        assert [(await ann.get(link)).content for link in links] == [PICTURE, PICTURE]
    assert [original.encode() in event for event in await running.events("evidence_seen")] == [False, True]


async def test_waiting_copies_are_those_that_look_alike_or_match_the_same_blocked_video(
    running: ConsoleUnderTest,
) -> None:
    rng = random.Random(1)
    film = [rng.randbytes(32) for _ in range(4)]
    again = [mirrored(one) for one in film[:2]] + [rng.randbytes(32)]
    plain, part = [film[0]], [film[0], *(rng.randbytes(32) for _ in range(3))]
    cases = {}
    for name, hashes in {"film": film, "again": again, "plain": plain, "part": part, "match": [], "other": []}.items():
        one = verdict()
        for at_s, each in enumerate(hashes):
            one.fingerprint.frames.add(time_s=at_s, quality=90, hashes=[each])
        if name in ("film", "match"):
            one.block_matches.add(block_id="b1")
        opened = await running.service.as_("gw/gateway").OpenCase(subject=subject(len(cases)), verdict=one)
        cases[opened.case_id] = name
    async with running.person("ann/moderator") as ann:
        for name, near in {"film": {"again", "match"}, "again": {"film"}, "plain": set(), "other": set()}.items():
            [case_id] = (case_id for case_id, each in cases.items() if each == name)
            page = (await ann.get(f"/cases/{case_id}")).text
            assert {cases[found] for found in re.findall(r'name="case" value="(\w+)"', page)} == near, name


async def test_precision_is_drawn_for_who_may_list_cases(running: ConsoleUnderTest) -> None:
    await running.service.decide("ann/moderator", await running.service.open())
    async with running.person("ann/moderator") as ann, running.person("adam/administrator") as adam:
        picture = await ann.get("/figures/quality.svg")
        assert (picture.headers["content-type"], picture.headers["cache-control"]) == ("image/svg+xml", "no-store")
        assert "precision of REVIEW and BLOCK" in picture.text
        assert ">ivory<" in picture.text
        assert "/figures/quality.svg" in (await ann.get("/figures")).text
        assert (await adam.get("/figures/quality.svg")).status_code == _NOT_ALLOWED
