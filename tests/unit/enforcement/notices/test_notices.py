"""Notices reach a platform once, signed; forged and stale ones do not, and nothing goes where it may not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from notice_receiver import NoticeReceiver, notice_receiver
from pydantic import SecretStr

from wildgate_enforcement.notices.sending import Delivered, Endpoint, Gone, NoticeSender, Outcome, Refused, RetryLater
from wildgate_enforcement.notices.statement import Source, Statement, Visibility
from wildgate_enforcement.notices.webhooks import ForgedNotice, NoticeCheck, signed_headers
from wildgate_server.source.fetching import FetchConfig

OLD, NEW, STRANGE = (
    "whsec_b2xkIHNlY3JldCBvZiBzb21lIHNpemU=",
    "whsec_bmV3IHNlY3JldCBvZiBzb21lIHNpemU=",
    "whsec_c3RyYW5nZQ==",
)
LOOPBACK = FetchConfig(stall_s=5.0, schemes=("http",), private_networks=(ip_network("127.0.0.1/32"),), ports=())


def endpoint(receiver: NoticeReceiver, *secrets: str) -> Endpoint:
    return Endpoint(receiver.url, tuple(map(SecretStr, secrets or (OLD,))))


async def sent(receiver: NoticeReceiver, *secrets: str, **options: Any) -> Outcome:
    sender = NoticeSender(LOOPBACK, **options)
    return await sender.send(endpoint(receiver, *secrets), "msg-1", {"action": "remove", "video_id": "é"})


async def test_a_notice_arrives_and_a_second_attempt_is_known_by_its_id() -> None:
    with notice_receiver(OLD, statuses=[503]) as receiver:
        assert [await sent(receiver) for _ in range(3)] == [RetryLater("status 503"), Delivered(), Delivered()]
    assert [(notice.id, notice.is_repeat) for notice in receiver.notices] == [("msg-1", False), ("msg-1", True)]
    assert receiver.notices[0].content == {"action": "remove", "video_id": "é"}


@pytest.mark.parametrize("known", [OLD, NEW])
async def test_while_secrets_change_either_is_enough(known: str) -> None:
    with notice_receiver(known) as receiver:
        assert await sent(receiver, NEW, OLD) == Delivered()


async def test_a_receiver_that_does_not_know_the_secret_refuses_it_for_good() -> None:
    with notice_receiver(STRANGE) as receiver:
        assert await sent(receiver) == Refused("status 401")
    assert receiver.forged


@pytest.mark.parametrize(
    ("status", "retry_after", "outcome"),
    [
        (200, None, Delivered()),
        (410, None, Gone()),
        (400, None, Refused("status 400")),
        (404, None, Refused("status 404")),
        (302, None, Refused("status 302")),
        (429, "7", RetryLater("status 429", 7.0)),
        (429, "999999999", RetryLater("status 429", 3600.0)),
        (503, "soon", RetryLater("status 503")),
        (503, "-1", RetryLater("status 503")),
    ],
)
async def test_what_comes_next_follows_from_the_answer(status: int, retry_after: str | None, outcome: Outcome) -> None:
    with notice_receiver(OLD, statuses=[status]) as receiver:
        receiver.headers = {"Location": "http://169.254.169.254/"}
        receiver.headers |= {"Retry-After": retry_after} if retry_after else {}
        assert await sent(receiver) == outcome
    assert len(receiver.requests) == 1  # no redirect was followed


async def test_a_platform_that_drips_its_answer_is_left() -> None:
    with notice_receiver(OLD) as receiver:
        receiver.drips = True
        assert isinstance(await sent(receiver, timeout_s=0.3), RetryLater)


async def test_a_platform_that_is_away_is_tried_again() -> None:
    with notice_receiver(OLD) as receiver:
        pass
    assert isinstance(await sent(receiver), RetryLater)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/",
        "https://8.8.8.8:22/",
        "https://user:password@8.8.8.8/",
        "file:///etc/passwd",
        "https://",
        "",
    ],
)
async def test_notices_go_to_public_hosts_over_tls_alone(url: str) -> None:
    outcome = await NoticeSender().send(Endpoint(url, (SecretStr(OLD),)), "msg-1", {})
    assert isinstance(outcome, Refused)
    assert "password" not in outcome.why


BODY = '{"action": "remove"}'


def headers_at(at: datetime, secret: str = OLD) -> dict[str, str]:
    return signed_headers([secret], "msg-1", BODY, at)


def forged(genuine: dict[str, str]) -> dict[str, tuple[bytes, dict[str, str]]]:
    """Notices that are none, made from a genuine one's headers: now, not when the tests are read."""
    return {
        "another body": (BODY.replace("remove", "permit").encode(), genuine),
        "another id": (BODY.encode(), genuine | {"webhook-id": "msg-2"}),
        "another time": (BODY.encode(), genuine | {"webhook-timestamp": str(int(genuine["webhook-timestamp"]) + 9)}),
        "replayed later": (BODY.encode(), headers_at(datetime.now(UTC) - timedelta(minutes=6))),
        "from the future": (BODY.encode(), headers_at(datetime.now(UTC) + timedelta(minutes=6))),
        "another secret": (BODY.encode(), headers_at(datetime.now(UTC), STRANGE)),
        "no signature": (BODY.encode(), {name: genuine[name] for name in genuine if name != "webhook-signature"}),
        "a signature without version": (BODY.encode(), genuine | {"webhook-signature": "abc"}),
        "an unknown version": (BODY.encode(), genuine | {"webhook-signature": "v9" + genuine["webhook-signature"][2:]}),
        "a signature that is no base64": (BODY.encode(), genuine | {"webhook-signature": "v1,*"}),
        "an endless signature": (BODY.encode(), genuine | {"webhook-signature": "v1,AAAA " * 1000}),
        "a time that is none": (BODY.encode(), genuine | {"webhook-timestamp": "nan"}),
        "not text": (b"\xff\xfe", genuine),
        "nothing": (b"", {}),
    }


@pytest.mark.parametrize("case", forged(headers_at(datetime.now(UTC))))
def test_what_is_not_the_senders_or_not_of_now_is_forged(case: str) -> None:
    check, genuine = NoticeCheck([OLD]), headers_at(datetime.now(UTC))
    body, headers = forged(genuine)[case]
    with pytest.raises(ForgedNotice):
        check.check(body, headers)
    assert not check.check(BODY.encode(), genuine).is_repeat  # a forgery does not use up an id


def test_a_second_id_in_other_letters_does_not_hide_a_repeat() -> None:
    check, genuine = NoticeCheck([OLD]), headers_at(datetime.now(UTC))
    assert not check.check(BODY.encode(), genuine).is_repeat
    assert check.check(BODY.encode(), {"Webhook-Id": "msg-9"} | genuine).is_repeat


@pytest.mark.parametrize("secrets", [[], [""], ["whsec_"], ["whsec_é"]])
def test_without_a_sound_secret_nothing_is_signed_or_checked(secrets: list[str]) -> None:
    with pytest.raises(ValueError, match="secret"):
        signed_headers(secrets, "msg-1", BODY, datetime.now(UTC))
    with pytest.raises(ValueError, match="secret"):
        NoticeCheck(secrets)


STATEMENT = Statement(
    case_id="case-7",
    visibility=Visibility.REMOVED,
    legal_ground="Council Regulation (EC) No 338/97, article 8(1)",
    explanation="Specimens of Annex A may not be offered for sale.",
    facts="The video shows 12 elephant tusks that are offered for sale; seen from 3.5 s to 9.25 s on 2026-11-20.",
    content_date=date(2026, 11, 20),
    decided_on=date(2026, 11, 28),
    source=Source.TRUSTED_FLAGGER,
    found_by_machine=True,
    decided_by_people=True,
    territorial_scope=("DE", "AT"),
)


def test_a_statement_has_what_the_database_requires() -> None:
    fields = STATEMENT.fields()
    assert fields["category"] == "STATEMENT_CATEGORY_ANIMAL_WELFARE"
    assert fields["category_specification"] == ["KEYWORD_UNLAWFUL_SALE_ANIMALS"]
    assert (fields["application_date"], fields["territorial_scope"]) == ("2026-11-28", ["AT", "DE"])
    assert {
        *("decision_visibility", "decision_ground", "illegal_content_legal_ground", "illegal_content_explanation"),
        *("content_type", "content_date", "decision_facts", "source_type", "automated_detection"),
        *("automated_decision", "puid"),
    } <= {name for name, value in fields.items() if value}


@pytest.mark.parametrize(
    "wrong",
    [
        {"facts": "sold by jane@example.org"},
        {"facts": "call +49 170 1234567"},
        {"explanation": "see https://example.org/u/jane"},
        {"facts": "sold by @jane"},
        {"facts": " "},
        {"legal_ground": "x" * 501},
        {"case_id": "jane doe"},
        {"territorial_scope": ("US",)},
        {"content_date": date(2027, 1, 1)},
    ],
)
def test_a_statement_that_would_be_refused_or_names_somebody_is_not_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"facts|explanation|legal_ground|case_id|scope|date"):
        replace(STATEMENT, **wrong)
