"""What somebody hostile may try on the console, over real HTTP."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from console_under_test import ConsoleUnderTest, Person, console
from enforcement_under_test import subject, verdict

from wildgate_console import links

_EVIDENCE = re.compile(r'/evidence/[^"]+')
_SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><svg onload=alert(1)>"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[ConsoleUnderTest]:
    async with console(tmp_path) as started:
        yield started


async def token_of(person: Person, case_id: str) -> str:
    await person.send_form(f"/cases/{case_id}/claim")
    found = re.search(r'name="fencing_token" value="(\d+)"', (await person.get(f"/cases/{case_id}")).text)
    assert found
    return found[1]


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({}, {}),
        ({"csrf": "guessed"}, {}),
        ({"csrf": "own"}, {"origin": "https://evil.example"}),
        ({"csrf": "own"}, {"origin": "null"}),
        ({"csrf": "own"}, {"sec-fetch-site": "cross-site"}),
        ({"csrf": "another"}, {}),
    ],
)
async def test_a_form_of_another_site_or_session_changes_nothing(
    running: ConsoleUnderTest, fields: dict[str, str], headers: dict[str, str]
) -> None:
    case_id = await running.service.open()
    async with running.person("ann/moderator") as ann, running.person("ben/moderator") as ben:
        known = {"own": ann.csrf, "another": ben.csrf}
        sent = {name: known.get(value, value) for name, value in fields.items()}
        answer = await ann.post(f"/cases/{case_id}/claim", data=sent, headers=headers)
        assert answer.status_code == 403
        assert not await running.events("claimed")


async def test_another_site_cannot_log_somebody_in(running: ConsoleUnderTest) -> None:
    async with running.person() as victim:
        answer = await victim.post(
            "/login", data={"token": "eve/moderator"}, headers={"origin": "https://evil.example"}
        )
        assert answer.status_code == 403
        assert not victim.cookies


async def test_no_text_that_is_sent_in_becomes_markup(running: ConsoleUnderTest) -> None:
    sent = subject(1, account=_SCRIPT, uri=_SCRIPT, listing=_SCRIPT, language=_SCRIPT[:35])
    sent.video_id = _SCRIPT
    found = verdict(label=_SCRIPT, taxon=_SCRIPT, cites_appendix=_SCRIPT)
    found.model_version = found.policy_version = _SCRIPT
    found.block_matches.add(block_id=_SCRIPT, label=_SCRIPT, reason=_SCRIPT, source=_SCRIPT)
    found.detections.add(label=_SCRIPT, time_s=1.5, box={"x2": 1, "y2": 1})
    opened = await running.service.as_("gw/gateway").OpenCase(subject=sent, verdict=found)
    await running.service.as_("p/reporter").Report(
        report_id=_SCRIPT,
        reporter=_SCRIPT,
        note=_SCRIPT,
        locale=_SCRIPT[:35],
        reason="other",
        subject=sent,
        source="REPORT_SOURCE_USER",
    )
    await running.service.decide("ann/moderator", opened.case_id, label=_SCRIPT, taxon=_SCRIPT, reason=_SCRIPT)
    await running.service.as_("p/reporter").Appeal(case_id=opened.case_id, appellant=_SCRIPT, statement=_SCRIPT)
    async with running.person(f"{_SCRIPT.replace('/', '')}/senior,auditor,administrator") as reader:
        case_page = f"/cases/{opened.case_id}"
        for path in (case_page, "/queue?label=" + _SCRIPT, "/queue", "/audit", "/audit?word=<script>", "/deliveries"):
            answer = await reader.get(path)
            assert answer.status_code == 200, path
            assert not re.search(r"<script>|<img src=x|<svg onload|<script(?! src=\"/static/)", answer.text), path
            assert "script-src 'self';" in answer.headers["content-security-policy"]
            assert "unsafe" not in answer.headers["content-security-policy"]
            assert answer.headers["cache-control"] == "no-store"
            assert not re.search(r"\s(style|on\w+)=\"", answer.text), "the policy forbids inline styles and handlers"
        assert "&lt;script&gt;" in (await reader.get(case_page)).text


async def test_links_to_evidence_hold_for_one_session_and_not_for_long(
    running: ConsoleUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = await running.service.open()
    async with running.person("ann/moderator") as ann, running.person("ben/moderator") as ben:
        [link] = _EVIDENCE.findall((await ann.get(f"/cases/{case_id}")).text)
        picture = await ann.get(link)
        assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
        assert picture.headers["cache-control"] == "no-store"
        assert [b'"actor":"ann"' in event for event in await running.events("evidence_seen")] == [True]
        body = link.removeprefix("/evidence/")
        forged = [body[:-2] + ("A" if body[-2] != "A" else "B") + body[-1], "x" + body, body.partition(".")[0], "x"]
        assert {(await ann.get(f"/evidence/{each}")).status_code for each in forged} == {403}
        assert (await ben.get(link)).status_code == 403
        async with running.person() as nobody:
            assert (await nobody.get(link)).headers["location"] == "/login"
        now = time.time()
        monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + links.LIFETIME_S + 2)
        assert (await ann.get(link)).status_code == 403
        assert len(await running.events("evidence_seen")) == 1


async def test_a_session_that_was_known_before_the_login_is_worth_nothing(running: ConsoleUnderTest) -> None:
    async with running.person() as victim, running.person() as thief:
        victim.cookies.set("wildgate", "known-before")
        await victim.login("ann/moderator")
        thief.cookies.set("wildgate", "known-before")
        assert (await thief.get("/queue")).headers["location"] == "/login"
        first = next(each.value for each in victim.cookies.jar if each.value != "known-before")
        victim.cookies.clear()
        victim.cookies.set("wildgate", str(first))
        again = await victim.post("/login", data={"token": "ann/moderator", "csrf": victim.csrf})
        assert again.status_code == 303
        assert "HttpOnly" in again.headers["set-cookie"]
        thief.cookies.clear()
        thief.cookies.set("wildgate", str(first))
        assert (await thief.get("/queue")).headers["location"] == "/login", "logging in again ends what was before"


async def test_a_logout_ends_the_session(running: ConsoleUnderTest) -> None:
    async with running.person("ann/moderator") as ann:
        stolen = dict(ann.cookies)
        await ann.send_form("/logout")
        ann.cookies.update(stolen)
        assert (await ann.get("/queue")).headers["location"] == "/login"


_FORBIDDEN = {
    "moderator": ("GET /audit", "POST /audit", "GET /deliveries", "POST /cases/{}/reassign", "POST /cases/{}/refer"),
    "senior": ("GET /audit", "GET /deliveries", "POST /deliveries"),
    "liaison": ("POST /claim", "POST /cases/{}/claim", "POST /cases/{}/release", "GET /audit", "POST /bulk"),
    "auditor": (
        *("POST /claim", "POST /cases/{}/claim", "POST /cases/{}/withdraw", "POST /cases/{}/refer"),
        *("POST /cases/{}/decide", "POST /referrals/x/approve", "POST /deliveries"),
    ),
    "administrator": ("GET /queue", "GET /cases/{}", "GET /audit", "GET /figures", "GET /referrals", "POST /claim"),
}


@pytest.mark.parametrize("role", _FORBIDDEN)
async def test_each_role_sees_and_does_its_own_alone_and_the_attempt_is_an_event(
    running: ConsoleUnderTest, role: str
) -> None:
    case_id = await running.service.open()
    usual = {
        "fencing_token": "1", "minutes": "5", "assignee": "eve", "recipient": "desk", "reason": "r",
        "kind": "harmless", "case": case_id,
    }  # fmt: skip
    async with running.person(f"eve/{role}") as eve:
        if role == "administrator":  # no page shows that role a form but this one
            eve.csrf = re.findall(r'name="csrf" value="([^"]+)"', (await eve.get("/deliveries")).text)[0]
        for each in _FORBIDDEN[role]:
            method, path = each.format(case_id).split()
            answer = await (eve.get(path) if method == "GET" else eve.send_form(path, **usual))
            denied = await running.events("denied")
            assert answer.status_code == 403 or "roles do not allow" in answer.text, each
            assert b'"actor":"eve"' in denied[-1], each
        assert {case.state for case in (await running.service.as_("ann/moderator").ListCases()).cases} == {1}
        assert not await running.events("claimed")


async def test_people_without_a_role_of_the_console_are_not_let_in(running: ConsoleUnderTest) -> None:
    async with running.person() as somebody:
        for token, status in (("gw/gateway", 403), ("p/reporter", 403), ("forged", 401), ("", 401)):
            assert (await somebody.post("/login", data={"token": token})).status_code == status
        assert not somebody.cookies


async def test_a_stale_claim_is_told_and_what_was_written_stays(running: ConsoleUnderTest) -> None:
    case_id = await running.service.open()
    async with running.person("ann/moderator") as ann, running.person("sue/senior") as sue:
        token = await token_of(ann, case_id)
        await sue.send_form(f"/cases/{case_id}/reassign", assignee="ben")
        answer = await ann.send_form(
            f"/cases/{case_id}/decide", fencing_token=token, kind="harmless", comment="a plastic toy"
        )
        assert answer.status_code == 409
        assert "given to somebody else since" in answer.text
        answer = await ann.send_form(f"/cases/{case_id}/claim")
        assert answer.status_code == 409
        assert "somebody else holds the case" in answer.text
    assert not await running.events("decided")


@pytest.mark.parametrize(
    "limits", [{"daily_frames": 1}, {"daily_frames": 9, "daily_frames_of": {"ann": 1}}], ids=["everybody", "one person"]
)
async def test_a_limit_of_pictures_holds_for_the_day_in_every_session(tmp_path: Path, limits: dict[str, Any]) -> None:
    async with console(tmp_path, **limits) as running:
        cases = [await running.service.open() for _ in range(2)]
        answers = []
        for case_id in cases:
            async with running.person("ann/moderator") as ann:
                [link] = _EVIDENCE.findall((await ann.get(f"/cases/{case_id}")).text)
                answers.append((await ann.get(link)).status_code)
        assert answers == [200, 403]


async def test_large_and_odd_forms_are_refused(running: ConsoleUnderTest) -> None:
    async with running.person("ann/moderator") as ann:
        assert (await ann.send_form("/claim", note="x" * 200_000)).status_code == 413
        assert (await ann.post("/claim", content=b"csrf=%ff%fe&" + b"a=1&" * 600)).status_code == 400
        case_id = await running.service.open()
        answers = await asyncio.gather(*(ann.send_form(f"/cases/{case_id}/claim") for _ in range(8)))
        assert {answer.status_code for answer in answers} == {303}
        assert (await ann.get("/cases/%00")).status_code in (404, 400)
        assert (await ann.get("/static/../serving.py")).status_code == 404
