"""A gateway's own client hands cases over to the service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from enforcement_under_test import EnforcementUnderTest, verdict

from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_proto.v1 import scoring_pb2
from wildgate_server.enforcement.case_client import CaseClient, NotOpened
from wildgate_server.enforcement.case_request import case_request


@pytest.fixture
async def client(service: EnforcementUnderTest, tmp_path: Path) -> AsyncIterator[CaseClient]:
    (tmp_path / "token").write_text("gw/gateway\n")
    async with CaseClient(service.address, tmp_path / "token") as client:
        yield client


async def test_a_review_is_one_case_however_often_it_is_handed_over(
    service: EnforcementUnderTest, client: CaseClient
) -> None:
    context = scoring_pb2.PlatformContext(account="seller", language="es", views=7, disseminating=True)
    request = case_request(scoring_pb2.ScoreRequest(video_id="v1", context=context), verdict()).SerializeToString()
    first, again = [await client.open_case(request, 10.0) for _ in range(2)]
    assert (first.opened, again.opened, first.case_id) == (True, False, again.case_id)
    case = await service.as_("ann/moderator").GetCase(case_id=first.case_id)
    wanted = pb.Subject(video_id="v1", account="seller", language="es", views=7, disseminating=True)
    assert list(case.subjects) == [wanted]
    assert list(case.skills) == ["lang:es", "product"]


async def test_an_allow_comes_as_a_sample(service: EnforcementUnderTest, client: CaseClient) -> None:
    request = case_request(scoring_pb2.ScoreRequest(), verdict("ACTION_ALLOW"))
    opened = await client.open_case(request.SerializeToString(), 10.0)
    assert (await service.as_("ann/moderator").GetCase(case_id=opened.case_id)).sample


@pytest.mark.parametrize(("token", "final"), [("gw/gateway", True), ("ann/moderator", False), ("forged", False)])
async def test_what_is_wrong_with_a_case_is_final_and_what_is_wrong_with_the_token_is_not(
    service: EnforcementUnderTest, client: CaseClient, tmp_path: Path, token: str, final: bool
) -> None:
    (tmp_path / "token").write_text(token)
    with pytest.raises(NotOpened) as refused:
        await client.open_case(pb.OpenCaseRequest().SerializeToString(), 10.0)
    assert (refused.value.final, refused.value.away) == (final, not final)
