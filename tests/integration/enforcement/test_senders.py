"""What cases do to a real list of blocks, and to videos that are reported; and what becomes of pictures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from enforcement_under_test import NO_SAMPLES, Clock, EnforcementUnderTest, decision, subject, verdict

from wildgate_client import ClientOptions
from wildgate_enforcement.database import Database
from wildgate_enforcement.outbox import DeliverySettings, Outbox
from wildgate_enforcement.retention import Retention
from wildgate_enforcement.senders import block_sender, score_sender
from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_proto.v1 import scoring_pb2
from wildgate_proto.v1.blocks_pb2_grpc import add_BlockServiceServicer_to_server
from wildgate_proto.v1.scoring_pb2_grpc import ScoringServiceServicer, add_ScoringServiceServicer_to_server
from wildgate_server.blocks.block_list import BlockList
from wildgate_server.blocks.block_service import BlockService
from wildgate_server.blocks.fingerprint import mirrored


class Gateway(ScoringServiceServicer):
    """Finds ivory everywhere but at one URI, where nothing is."""

    def __init__(self) -> None:
        self.asked: list[scoring_pb2.ScoreRequest] = []
        self.tokens: list[Any] = []

    async def Score(self, request: scoring_pb2.ScoreRequest, context: Any) -> scoring_pb2.ScoreResponse:
        self.asked.append(request)
        self.tokens.append(dict(context.invocation_metadata()).get("authorization"))
        if request.uri.endswith("gone.mp4"):
            await context.abort(grpc.StatusCode.NOT_FOUND, "nothing is there")
        return scoring_pb2.ScoreResponse(video_id=request.video_id, verdict=verdict("ACTION_ALLOW"))


@pytest.fixture
async def blocks(tmp_path: Path) -> AsyncIterator[BlockList]:
    loaded = await BlockList.load(tmp_path / "blocks")
    yield loaded
    await loaded.close()


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
async def box(database: Database, blocks: BlockList, gateway: Gateway, tmp_path: Path) -> AsyncIterator[Outbox]:
    server = grpc.aio.server()
    add_BlockServiceServicer_to_server(BlockService(blocks), server)  # type: ignore[no-untyped-call]
    add_ScoringServiceServicer_to_server(gateway, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    token = tmp_path / "token"
    token.write_text("ours\n")
    metadata = ClientOptions(token_file=token).call_metadata
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        senders = {
            "block": block_sender(database, lambda: channel, metadata),
            "score": score_sender(database, lambda: channel, metadata, NO_SAMPLES),
        }
        yield Outbox(database, senders, DeliverySettings())
    await server.stop(None)


async def test_a_confirmed_case_is_blocked_and_a_reversed_one_no_longer(
    service: EnforcementUnderTest, box: Outbox, blocks: BlockList
) -> None:
    one = verdict()
    one.fingerprint.frames.add(time_s=1.0, quality=100, hashes=[bytes(32)])
    opened = await service.as_("gw/gateway").OpenCase(subject=subject(1), verdict=one)
    await service.decide("ann/moderator", opened.case_id)
    await box.tell_due()
    entry = blocks.get(f"case-{opened.case_id}")
    assert entry is not None
    assert (list(entry.digests), entry.label) == ([one.content_digest], "ivory")
    straight, turned = entry.fingerprint.frames
    assert straight == one.fingerprint.frames[0]
    assert (turned.time_s, list(turned.hashes)) == (1.0, [mirrored(bytes(32))])
    await service.as_("platform/reporter").Appeal(case_id=opened.case_id, appellant="uploader")
    await service.decide("ben/moderator", opened.case_id, "KIND_HARMLESS")
    await box.tell_due()
    assert blocks.get(entry.id) is None


async def test_an_older_delivery_does_not_tell_what_may_still_be_undone(
    service: EnforcementUnderTest, box: Outbox, blocks: BlockList, clock: Clock
) -> None:
    case_id, ben = await service.open(), service.as_("ben/moderator")
    await service.decide("ann/moderator", case_id)
    await service.as_("platform/reporter").Appeal(case_id=case_id, appellant="uploader")
    claimed = pb.ClaimedCase(case_id=case_id, fencing_token=(await ben.Claim(case_id=case_id)).fencing_token)
    await ben.Decide(cases=[claimed], decision=decision("KIND_HARMLESS"), undo_s=60)
    await box.tell_due()
    await ben.Withdraw(case_id=case_id, fencing_token=claimed.fencing_token)
    clock.advance(60)
    await box.tell_due()
    assert blocks.get(f"case-{case_id}"), "the confirmation stands until somebody judges the appeal"


async def test_a_reported_video_is_looked_at_closely_and_gets_a_case_whatever_is_found(
    service: EnforcementUnderTest, box: Outbox, gateway: Gateway
) -> None:
    for name in ("new", "gone"):
        await service.as_("platform/reporter").Report(
            report_id=name,
            subject=pb.Subject(uri=f"https://host/{name}.mp4"),
            reason="ivory",
            reporter="rob",
            source=pb.REPORT_SOURCE_USER,
        )
    await box.tell_due()
    assert [request.scrutiny for request in gateway.asked] == [scoring_pb2.SCRUTINY_HIGH] * 2
    assert gateway.tokens == ["Bearer ours"] * 2
    platform = service.as_("platform/reporter")
    assert (await platform.GetReport(report_id="gone")).state == pb.Report.STATE_UNRESOLVED
    case = await service.as_("ann/moderator").GetCase(case_id=(await platform.GetReport(report_id="new")).case_id)
    assert (case.verdict.action, case.state) == (scoring_pb2.ACTION_ALLOW, pb.CASE_STATE_OPEN)


async def test_pictures_of_harmless_cases_are_deleted_in_time_and_others_kept(
    service: EnforcementUnderTest, database: Database, clock: Clock
) -> None:
    harmless, confirmed = await service.open(), await service.open()
    await service.decide("ann/moderator", harmless, "KIND_HARMLESS")
    await service.decide("ann/moderator", confirmed)
    retention = Retention(database, days=30)
    clock.advance(29 * 86_400)
    assert await retention.delete_some() == 0
    clock.advance(2 * 86_400)
    assert await retention.delete_some() == 1
    ann = service.as_("ann/moderator")
    assert (await ann.GetCase(case_id=confirmed)).evidence_frames == 1
    assert (await ann.GetCase(case_id=harmless)).evidence_frames == 0
