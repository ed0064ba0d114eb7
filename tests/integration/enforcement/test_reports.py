"""Reports, over gRPC and a real database."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from enforcement_under_test import Clock, EnforcementUnderTest, subject, verdict

from wildgate_enforcement.database import Database
from wildgate_enforcement.opening import open_case
from wildgate_enforcement.policy import EnforcementPolicy
from wildgate_enforcement.reporting import unresolved
from wildgate_proto.v1 import cases_pb2 as pb


async def report(service: EnforcementUnderTest, report_id: str, reporter: str = "rob", **about: Any) -> pb.Report:
    fields = {"reason": "ivory", "source": pb.REPORT_SOURCE_USER, "reporter": reporter, **about}
    filed: pb.Report = await service.as_("platform/reporter").Report(report_id=report_id, **fields)
    return filed


async def opened(service: EnforcementUnderTest, digest: str, number: int = 1) -> str:
    answer = await service.as_("gw/gateway").OpenCase(subject=subject(number), verdict=verdict(digest=digest))
    return str(answer.case_id)


DIGEST = f"blake3:{'ab' * 32}"


async def test_reports_join_the_case_and_raise_it(service: EnforcementUnderTest) -> None:
    case_id, ann = await opened(service, DIGEST), service.as_("ann/moderator")
    before = (await ann.GetCase(case_id=case_id)).rank
    first = await report(service, "r1", content_digest=DIGEST)
    raised = (await ann.GetCase(case_id=case_id)).rank
    second = await report(service, "r2", "ned", subject=subject(1), source=pb.REPORT_SOURCE_NGO_PARTNER)
    case = await ann.GetCase(case_id=case_id)
    assert [each.id for each in case.reports] == ["r1", "r2"]
    assert before < raised < case.rank
    assert (first.weight, second.weight) == (0.5, 0.8)


async def test_the_same_report_again_changes_nothing_and_the_same_reporter_adds_no_weight(
    service: EnforcementUnderTest,
) -> None:
    case_id, ann = await opened(service, DIGEST), service.as_("ann/moderator")
    await asyncio.gather(*(report(service, "r1", content_digest=DIGEST) for _ in range(4)))
    rank = (await ann.GetCase(case_id=case_id)).rank
    await asyncio.gather(*(report(service, "r1", content_digest=DIGEST) for _ in range(4)))
    again = await report(service, "r2", content_digest=DIGEST)
    case = await ann.GetCase(case_id=case_id)
    assert (again.duplicate, case.rank, len(case.reports)) == (True, rank, 2)


async def test_a_reporter_who_was_right_weighs_more_and_one_who_was_wrong_less(service: EnforcementUnderTest) -> None:
    await opened(service, DIGEST)
    for reporter in ("rob", "ned"):
        await report(service, f"{reporter}-1", reporter, content_digest=DIGEST)
    other = f"blake3:{'cd' * 32}"
    await opened(service, other, 2)
    await report(service, "ned-2", "ned", content_digest=other)
    cases = {case.content_digest: case.id for case in (await service.as_("ann/moderator").ListCases()).cases}
    await service.decide("ann/moderator", cases[DIGEST])
    await service.decide("ann/moderator", cases[other], "KIND_HARMLESS")
    third = f"blake3:{'ef' * 32}"
    await opened(service, third, 3)
    assert (await report(service, "rob-3", "rob", content_digest=third)).weight == pytest.approx(2 / 3)
    assert (await report(service, "ned-3", "ned", content_digest=third)).weight == pytest.approx(2 / 4)


async def test_content_judged_harmless_is_answered_at_once_and_other_content_is_not(
    service: EnforcementUnderTest,
) -> None:
    case_id = await opened(service, DIGEST)
    await service.decide("ann/moderator", case_id, "KIND_HARMLESS")
    answered = await report(service, "r1", content_digest=DIGEST)
    assert (answered.state, answered.case_id) == (pb.Report.STATE_HARMLESS, case_id)
    assert (await service.as_("ann/moderator").GetCase(case_id=case_id)).state == pb.CASE_STATE_HARMLESS
    changed = await report(service, "r2", subject=subject(1), content_digest=f"blake3:{'cd' * 32}")
    swapped = await report(service, "r3", subject=subject(1, uri="https://host/v.mp4"))
    assert (changed.state, swapped.state) == (pb.Report.STATE_WAITING,) * 2


async def test_reporters_are_told_the_outcome(service: EnforcementUnderTest) -> None:
    case_id = await opened(service, DIGEST)
    await report(service, "r1", content_digest=DIGEST)
    await service.decide("ann/moderator", case_id)
    assert (await service.as_("platform/reporter").GetReport(report_id="r1")).state == pb.Report.STATE_CONFIRMED
    kinds = [each.kind for each in (await service.as_("adam/administrator").ListDeliveries()).deliveries]
    assert kinds.count("report_outcome") == 1


async def test_what_nobody_scored_is_scored_once_and_its_reports_wait_for_the_case(
    service: EnforcementUnderTest, database: Database
) -> None:
    unscored = subject(5, uri=f"https://host/{'é' * 2000}.mp4")
    for n in range(3):
        filed = await report(service, f"r{n}", f"reporter-{n % 2}", subject=unscored)
        assert (filed.state, filed.case_id) == (pb.Report.STATE_WAITING, "")
    kinds = [each.kind for each in (await service.as_("adam/administrator").ListDeliveries()).deliveries]
    assert kinds == ["score"]
    async with database.writing("scoring") as transaction:
        case = await open_case(transaction, unscored, verdict(), EnforcementPolicy())
    reports = (await service.as_("ann/moderator").GetCase(case_id=case.id)).reports
    assert [(each.id, each.duplicate) for each in reports] == [("r0", False), ("r1", False), ("r2", True)]


async def test_reports_of_what_is_gone_are_told_so(service: EnforcementUnderTest, database: Database) -> None:
    await report(service, "r1", subject=subject(5, uri="https://host/gone.mp4"))
    async with database.writing("scoring") as transaction:
        await unresolved(transaction, "https://host/gone.mp4")
    assert (await service.as_("platform/reporter").GetReport(report_id="r1")).state == pb.Report.STATE_UNRESOLVED


async def test_a_reporter_who_files_too_many_has_to_wait(service: EnforcementUnderTest, clock: Clock) -> None:
    await opened(service, DIGEST)
    for n in range(30):
        await report(service, f"r{n}", content_digest=DIGEST)
    with pytest.raises(grpc.aio.AioRpcError, match="30 reports in an hour"):
        await report(service, "one more", content_digest=DIGEST)
    await report(service, "somebody else's", "ned", content_digest=DIGEST)
    clock.advance(3601)
    await report(service, "one more", content_digest=DIGEST)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"reason": "dislike"}, "reason is none of ivory, other"),
        ({"source": 0}, "needs a source"),
        ({"reporter": ""}, "has a reporter"),
        ({"note": "x" * 4001, "subject": subject(1)}, "note is longer than 4000"),
        ({"subject": pb.Subject(video_id="a\0b")}, "subject.video_id is longer than 256, or holds NUL"),
        ({"subject": pb.Subject(account="only")}, "on a video_id, a uri or a content_digest"),
    ],
)
async def test_odd_reports_are_refused_with_their_field(
    service: EnforcementUnderTest, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=said) as refused:
        await report(service, "r1", **fields)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_platform_hears_nothing_of_an_allowed_video_that_is_harmless(service: EnforcementUnderTest) -> None:
    for action, told in (("ACTION_ALLOW", 0), ("ACTION_REVIEW", 1)):
        opening = {"subject": subject(9), "verdict": verdict(action), "sample": True}
        case_id = (await service.as_("gw/gateway").OpenCase(**opening)).case_id
        await service.decide("ann/moderator", case_id, "KIND_HARMLESS")
        kinds = [each.kind for each in (await service.as_("adam/administrator").ListDeliveries()).deliveries]
        assert kinds.count("notice") == told
