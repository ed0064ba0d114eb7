"""The life of a case, over gRPC and a real database."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import grpc
import pytest
from enforcement_under_test import Clock, EnforcementUnderTest, decision, enforcing, subject, verdict
from sqlalchemy import select

from wildgate_enforcement.database import Database
from wildgate_enforcement.opening import Opening
from wildgate_enforcement.opening_group import OpeningGroup
from wildgate_enforcement.policy import EnforcementPolicy
from wildgate_enforcement.tables import SubjectRow
from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_proto.v1 import scoring_pb2


async def deliveries(service: EnforcementUnderTest) -> Counter[str]:
    listed = await service.as_("adam/administrator").ListDeliveries()
    return Counter(delivery.kind for delivery in listed.deliveries)


async def test_the_same_video_and_content_twice_is_one_case(service: EnforcementUnderTest) -> None:
    gateway, one = service.as_("gw/gateway"), verdict()
    first = await gateway.OpenCase(subject=subject(1), verdict=one)
    second = await gateway.OpenCase(subject=subject(1), verdict=one)
    assert (first.opened, second.opened) == (True, False)
    assert first.case_id == second.case_id
    case = await service.as_("ann/moderator").GetCase(case_id=first.case_id)
    assert [each.video_id for each in case.subjects] == ["video-1"]


async def test_the_same_content_opened_by_many_at_once_is_one_case_with_all_of_them(
    service: EnforcementUnderTest,
) -> None:
    gateway, one = service.as_("gw/gateway"), verdict()
    opened = await asyncio.gather(*(gateway.OpenCase(subject=subject(n), verdict=one) for n in range(8)))
    assert len({each.case_id for each in opened}) == 1
    assert sum(each.opened for each in opened) == 1
    case = await service.as_("ann/moderator").GetCase(case_id=opened[0].case_id)
    assert len(case.subjects) == 8


async def test_evidence_is_shown_and_the_look_is_in_the_log(service: EnforcementUnderTest) -> None:
    case_id = await service.open()
    frame = await service.as_("ann/moderator").GetEvidence(case_id=case_id, index=0)
    assert frame.jpeg.startswith(b"\xff\xd8")
    events = (await service.as_("otto/auditor").ListEvents(case_id=case_id)).events
    assert b'"actor":"ann"' in events[-1].canonical
    assert b"evidence_seen" in events[-1].canonical


async def test_the_most_pressing_comes_first_and_no_case_goes_to_two_of_eight(service: EnforcementUnderTest) -> None:
    gateway = service.as_("gw/gateway")
    for n in range(24):
        await gateway.OpenCase(subject=subject(n, views=10**n if n < 12 else n), verdict=verdict())
    claimed = list[str]()

    async def claim_all(person: str) -> None:
        while True:
            claimed.append((await service.as_(person).Claim()).case.id)

    first = (await service.as_("eve/moderator").Claim()).case
    assert first.subjects[0].video_id == "video-11"
    ends = await asyncio.gather(*(claim_all(f"person-{n}/moderator") for n in range(8)), return_exceptions=True)
    assert all(isinstance(end, grpc.aio.AioRpcError) and end.code() is grpc.StatusCode.NOT_FOUND for end in ends)
    assert len(claimed) == len(set(claimed)) == 23


async def test_pages_hold_every_case_once_by_rank_and_what_is_decided_comes_last(service: EnforcementUnderTest) -> None:
    ids = [await service.open(views=n) for n in (5, 5, 10**6, 0, 100)]
    for decided in ids[2:4]:
        await service.decide("ann/moderator", decided)
    listed, token = list[pb.Case](), ""
    while token or not listed:
        page = await service.as_("ann/moderator").ListCases(page_size=2, page_token=token)
        listed += page.cases
        token = page.next_page_token
    assert sorted(case.id for case in listed) == sorted(ids)
    assert listed[0].id == ids[4]
    assert {case.id for case in listed[3:]} == set(ids[2:4])


async def test_a_reviewer_gets_only_what_their_skills_cover(service: EnforcementUnderTest) -> None:
    await service.open(language="es")
    plain = await service.open()
    claimed = await service.as_("ann/moderator").Claim(skills=["product"])
    assert claimed.case.id == plain
    with pytest.raises(grpc.aio.AioRpcError, match="nothing waits"):
        await service.as_("ben/moderator").Claim(skills=["product"])
    assert (await service.as_("ben/moderator").Claim(skills=["product", "lang:es"])).case.subjects[0].language == "es"


async def test_a_stale_token_decides_nothing(service: EnforcementUnderTest, clock: Clock) -> None:
    case_id = await service.open()
    ann, ben = service.as_("ann/moderator"), service.as_("ben/moderator")
    stale = (await ann.Claim(case_id=case_id, lease_s=60)).fencing_token
    with pytest.raises(grpc.aio.AioRpcError, match="somebody else holds"):
        await ben.Claim(case_id=case_id)
    clock.advance(61)
    fresh = (await ben.Claim(case_id=case_id)).fencing_token
    late = pb.ClaimedCase(case_id=case_id, fencing_token=stale)
    guessed = pb.ClaimedCase(case_id=case_id, fencing_token=fresh)  # the right token in the wrong hands
    results = (await ann.Decide(cases=[late, guessed], decision=decision())).results
    assert [result.error.code for result in results] == [grpc.StatusCode.FAILED_PRECONDITION.value[0]] * 2
    assert (await ann.GetCase(case_id=case_id)).state == pb.CASE_STATE_OPEN
    assert (await ben.Decide(cases=[guessed], decision=decision())).results[0].case.state == pb.CASE_STATE_CONFIRMED


async def test_an_older_token_of_one_s_own_counts_no_more(service: EnforcementUnderTest) -> None:
    case_id, ann = await service.open(), service.as_("ann/moderator")
    older = (await ann.Claim(case_id=case_id)).fencing_token
    await ann.Release(case_id=case_id, fencing_token=older)
    newer = (await ann.Claim(case_id=case_id)).fencing_token
    for token in (older, newer + 1):
        claimed = pb.ClaimedCase(case_id=case_id, fencing_token=token)
        [result] = (await ann.Decide(cases=[claimed], decision=decision())).results
        assert result.error.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
        for call, more in (("Release", {}), ("Snooze", {"until_ms": service.clock() + 1000})):
            with pytest.raises(grpc.aio.AioRpcError, match="given to somebody else since"):
                await getattr(ann, call)(case_id=case_id, fencing_token=token, **more)


async def test_a_decision_sent_twice_is_one(service: EnforcementUnderTest) -> None:
    case_id, ann = await service.open(), service.as_("ann/moderator")
    claimed = pb.ClaimedCase(case_id=case_id, fencing_token=(await ann.Claim(case_id=case_id)).fencing_token)
    for _ in range(2):
        result = (await ann.Decide(cases=[claimed], decision=decision())).results[0]
        assert result.case.state == pb.CASE_STATE_CONFIRMED
    assert len((await ann.GetCase(case_id=case_id)).decisions) == 1
    assert await deliveries(service) == {"block": 1, "notice": 1}


async def test_in_bulk_one_failure_stops_no_other_and_each_decision_is_in_the_log(
    service: EnforcementUnderTest,
) -> None:
    ann = service.as_("ann/moderator")
    ids = [await service.open() for _ in range(3)]
    claimed = [
        pb.ClaimedCase(case_id=each, fencing_token=(await ann.Claim(case_id=each)).fencing_token) for each in ids
    ]
    claimed[1].fencing_token += 7
    results = (await ann.Decide(cases=claimed, decision=decision("KIND_HARMLESS"))).results
    assert [result.WhichOneof("result") for result in results] == ["case", "error", "case"]
    events = (await service.as_("otto/auditor").ListEvents()).events
    assert sum(b'"kind":"decided"' in event.canonical for event in events) == 2


async def test_released_and_snoozed_cases_come_back(service: EnforcementUnderTest, clock: Clock) -> None:
    case_id, ann = await service.open(), service.as_("ann/moderator")
    token = (await ann.Claim()).fencing_token
    await ann.Release(case_id=case_id, fencing_token=token)
    token = (await ann.Claim()).fencing_token
    await ann.Snooze(case_id=case_id, fencing_token=token, until_ms=clock() + 60_000, comment="asks the museum")
    with pytest.raises(grpc.aio.AioRpcError, match="nothing waits"):
        await ann.Claim()
    clock.advance(61)
    assert (await ann.Claim()).case.id == case_id


async def test_a_reassigned_case_is_lost_to_who_held_it(service: EnforcementUnderTest) -> None:
    case_id, ann = await service.open(), service.as_("ann/moderator")
    token = (await ann.Claim(case_id=case_id)).fencing_token
    await service.as_("sue/senior").Reassign(case_id=case_id, assignee="ben", comment="knows ivory")
    with pytest.raises(grpc.aio.AioRpcError, match="given to somebody else"):
        await ann.Release(case_id=case_id, fencing_token=token)
    assert (await service.decide("ben/moderator", case_id)).case.state == pb.CASE_STATE_CONFIRMED


@pytest.fixture
async def two_decide(database: Database, clock: Clock) -> EnforcementUnderTest:  # type: ignore[misc]
    async with enforcing(database, clock, EnforcementPolicy(second_share=1.0)) as running:
        yield running


async def test_the_second_person_is_another_one_and_their_agreement_confirms(two_decide: EnforcementUnderTest) -> None:
    case_id = await two_decide.open()
    first = await two_decide.decide("ann/moderator", case_id)
    assert (first.case.state, first.case.second_reason) == (pb.CASE_STATE_SECOND, "quality")
    assert not await deliveries(two_decide)
    with pytest.raises(grpc.aio.AioRpcError, match="does not decide it again"):
        await two_decide.decide("ann/moderator", case_id)
    with pytest.raises(grpc.aio.AioRpcError, match="nothing waits"):
        await two_decide.as_("ann/moderator").Claim()
    assert (await two_decide.decide("ben/moderator", case_id)).case.state == pb.CASE_STATE_CONFIRMED
    assert await deliveries(two_decide) == {"block": 1, "notice": 1}


async def test_two_who_disagree_bring_a_senior_who_is_neither(two_decide: EnforcementUnderTest) -> None:
    case_id = await two_decide.open()
    await two_decide.decide("sue/senior", case_id)
    second = await two_decide.decide("ben/moderator", case_id, "KIND_HARMLESS")
    assert second.case.state == pb.CASE_STATE_ESCALATED
    with pytest.raises(grpc.aio.AioRpcError, match="does not decide it again"):
        await two_decide.decide("sue/senior", case_id)
    with pytest.raises(grpc.aio.AioRpcError, match="waits for a senior"):
        await two_decide.decide("cat/moderator", case_id)
    decided = await two_decide.decide("kim/senior", case_id, "KIND_HARMLESS")
    assert decided.case.state == pb.CASE_STATE_HARMLESS


async def test_a_withdrawn_decision_keeps_its_comment_and_frees_its_maker(two_decide: EnforcementUnderTest) -> None:
    case_id = await two_decide.open()
    await two_decide.decide("ann/moderator", case_id, comment="the horn looks real")
    with pytest.raises(grpc.aio.AioRpcError, match="only who decided"):
        await two_decide.as_("ben/moderator").Withdraw(case_id=case_id)
    await two_decide.as_("ann/moderator").Withdraw(case_id=case_id, comment="it is resin")
    case = await two_decide.as_("ann/moderator").GetCase(case_id=case_id)
    assert (case.state, case.decisions[0].comment) == (pb.CASE_STATE_OPEN, "the horn looks real")
    decided = await two_decide.decide("ann/moderator", case_id, "KIND_HARMLESS")
    assert decided.case.state == pb.CASE_STATE_HARMLESS
    events = (await two_decide.as_("otto/auditor").ListEvents(case_id=case_id)).events
    assert any(b"it is resin" in event.canonical for event in events)


async def test_an_account_s_tenth_video_takes_two(service: EnforcementUnderTest) -> None:
    for n in range(9):
        decided = await service.decide(f"person-{n}/moderator", await service.open(account="seller"))
        assert decided.case.state == pb.CASE_STATE_CONFIRMED
    tenth = await service.decide("ann/moderator", await service.open(account="seller"))
    assert (tenth.case.state, tenth.case.second_reason) == (pb.CASE_STATE_SECOND, "at least 10 videos of one account")


async def test_an_appeal_goes_to_somebody_else_once_and_reverses_what_followed(service: EnforcementUnderTest) -> None:
    case_id, platform = await service.open(), service.as_("platform/reporter")
    await service.decide("ann/moderator", case_id)
    for _ in range(2):
        appealed = await platform.Appeal(case_id=case_id, appellant="uploader", statement="it is a prop")
        assert appealed.state == pb.CASE_STATE_APPEALED
    with pytest.raises(grpc.aio.AioRpcError, match="does not decide it again"):
        await service.decide("ann/moderator", case_id)
    reversed_ = await service.decide("ben/moderator", case_id, "KIND_HARMLESS")
    assert reversed_.case.state == pb.CASE_STATE_HARMLESS
    assert await deliveries(service) == {"block": 2, "notice": 2}
    with pytest.raises(grpc.aio.AioRpcError, match="appealed before"):
        await platform.Appeal(case_id=case_id, appellant="somebody else")


async def test_a_copy_of_confirmed_content_is_removed_without_another_decision(service: EnforcementUnderTest) -> None:
    gateway, one = service.as_("gw/gateway"), verdict()
    case_id = (await gateway.OpenCase(subject=subject(1), verdict=one)).case_id
    await service.decide("ann/moderator", case_id)
    copy = await gateway.OpenCase(subject=subject(2), verdict=one)
    assert copy.state == pb.CASE_STATE_CONFIRMED
    assert await deliveries(service) == {"block": 1, "notice": 2}


async def test_a_referral_takes_two_and_a_receipt_ends_it(service: EnforcementUnderTest) -> None:
    case_id = await service.open()
    lea = service.as_("lea/liaison")
    with pytest.raises(grpc.aio.AioRpcError, match="only confirmed"):
        await lea.Refer(case_id=case_id, recipient="desk", reason="repeat offender")
    await service.decide("ann/moderator", case_id)
    with pytest.raises(grpc.aio.AioRpcError, match="not one of those configured: desk"):
        await lea.Refer(case_id=case_id, recipient="production", reason="repeat offender")
    referral = await lea.Refer(case_id=case_id, recipient="desk", reason="repeat offender")
    again = await lea.Refer(case_id=case_id, recipient="desk", reason="repeat offender")
    assert again.id == referral.id
    with pytest.raises(grpc.aio.AioRpcError, match="does not approve it"):
        await lea.ApproveReferral(referral_id=referral.id)
    approved = await service.as_("sue/senior").ApproveReferral(referral_id=referral.id, comment="strong")
    assert approved.state == pb.Referral.STATE_APPROVED
    assert (await deliveries(service))["referral"] == 1


def odd(at: float = 1.0, **changes: Any) -> scoring_pb2.Verdict:
    changed = verdict()
    changed.evidence[0].time_s = at
    for name, value in changes.items():
        setattr(changed, name, value)
    return changed


@pytest.mark.parametrize(
    ("call", "fields"),
    [
        ("OpenCase", {"subject": subject(1), "verdict": odd(action=99), "sample": True}),
        ("OpenCase", {"subject": subject(1), "verdict": odd(action=1)}),
        ("OpenCase", {"subject": subject(1), "verdict": odd(content_digest="../x")}),
        ("OpenCase", {"verdict": verdict()}),
        ("OpenCase", {"subject": subject(1), "verdict": odd(at=float("nan"))}),
        ("ListCases", {"states": [77]}),
        ("ListCases", {"page_token": "yesterday"}),
        ("ListCases", {"page_size": -1}),
        ("ListDeliveries", {"state": 77}),
        ("ListEvents", {"page_size": 1001}),
        ("Claim", {"lease_s": -1}),
        ("Decide", {"decision": pb.Decision(kind=1)}),
        ("Decide", {"cases": [pb.ClaimedCase()] * 201}),
        ("GetCase", {"case_id": "a\0b"}),
        ("Claim", {"skills": ["product"] * 1001}),
    ],
)  # fmt: skip
async def test_odd_requests_are_refused_as_such(
    service: EnforcementUnderTest, call: str, fields: dict[str, Any]
) -> None:
    everybody = service.as_("eve/gateway,moderator,auditor")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await getattr(everybody, call)(**fields)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_what_is_no_message_is_refused_as_such(service: EnforcementUnderTest) -> None:
    call = service.channel.unary_unary("/wildgate.v1.CaseService/OpenCase")
    with pytest.raises(grpc.aio.AioRpcError, match="no message of this call") as refused:
        await call(b"\x0a\xff", metadata=(("authorization", "Bearer gw/gateway"),))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_clock_that_was_put_back_holds_nothing(service: EnforcementUnderTest, clock: Clock) -> None:
    leased, snoozed = await service.open(), await service.open()
    clock.advance(1e8)
    ann, ben = service.as_("ann/moderator"), service.as_("ben/moderator")
    await ann.Claim(case_id=leased)
    token = (await ann.Claim(case_id=snoozed)).fencing_token
    await ann.Snooze(case_id=snoozed, fencing_token=token, until_ms=clock() + 1000)
    clock.advance(-1e8)
    assert (await ben.Claim(case_id=leased)).case.assignee == "ben"
    assert (await ben.Claim()).case.id == snoozed


async def test_openings_that_come_together_fail_alone(database: Database) -> None:
    group = OpeningGroup(database, EnforcementPolicy())
    twice = verdict()
    wanted = [
        Opening(subject(1), twice),
        Opening(pb.Case(), verdict()),
        Opening(subject(2), twice),
        Opening(subject(3), verdict()),
    ]
    broken, *good = sorted(
        await asyncio.gather(*(group.open("gw", each) for each in wanted), return_exceptions=True),
        key=lambda each: not isinstance(each, Exception),
    )
    assert isinstance(broken, AttributeError)
    assert [opened for _, opened in good] == [True, False, True]
    async with database.reading() as session:
        rows = await session.scalars(select(SubjectRow.video_id).order_by(SubjectRow.video_id))
        assert rows.all() == ["video-1", "video-2", "video-3"]


async def test_odd_numbers_in_a_verdict_keep_no_case_from_being_opened(service: EnforcementUnderTest) -> None:
    one = verdict(score=float("nan"), group=99)
    strange = subject(1, views=2**63 - 1)
    gateway = service.as_("gw/gateway")
    opened = [await gateway.OpenCase(subject=each, verdict=one) for each in (strange, subject(2, views=-5))]
    assert [each.opened for each in opened] == [True, False]
    await gateway.OpenCase(subject=subject(3, views=2**63 - 1), verdict=one)
    assert (await service.as_("ann/moderator").Claim()).case.id == opened[0].case_id
