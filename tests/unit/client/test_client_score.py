from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fake_gateway import NOT_A_VIDEO, NOT_CACHED, OVERLOADED, FakeGateway, Refusal, a_verdict

from wildgate_client import (
    Action,
    Box,
    ClientOptions,
    Clock,
    Content,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    InvalidVideo,
    LabelGroup,
    NotAllowed,
    NotFound,
    Overloaded,
    PlatformContext,
    RetryPolicy,
    ScoringClient,
    ScoringError,
    Source,
    SourceUnreadable,
    StageTiming,
    TimeSpan,
    Unauthenticated,
    Unavailable,
    UnexpectedAnswer,
    Uri,
    VerdictNotCached,
)
from wildgate_proto.v1 import scoring_pb2

ONCE = ClientOptions(retry=RetryPolicy(attempts=1))
VIDEO = Content(b"video")


async def test_a_verdict_comes_back_whole(gateway: FakeGateway, target: str):
    gateway.verdict = a_verdict(cached=True, evidence=[scoring_pb2.EvidenceFrame(time_s=1.0, jpeg=b"\xff\xd8")])
    async with ScoringClient(target) as client:
        context = PlatformContext("account 7", "listing 9", "es", 12, disseminating=True)
        verdict = await client.score(VIDEO, video_id="v1", max_evidence_frames=3, context=context)

    told = scoring_pb2.PlatformContext(account="account 7", listing="listing 9", language="es", views=12)
    told.disseminating = True
    request = scoring_pb2.ScoreRequest(video_id="v1", content=b"video", max_evidence_frames=3, context=told)
    assert gateway.requests == [request]
    assert verdict.action is Action.BLOCK
    (label,) = verdict.labels
    assert (label.label, label.action, label.group) == ("live_tiger", Action.BLOCK, LabelGroup.LIVE_ANIMAL)
    assert (label.taxon, label.cites_appendix, label.frames) == ("Panthera tigris", "I", 2)
    assert label.spans == (TimeSpan(1.0, 3.0),)
    assert verdict.detections[0].box == Box(0.25, 0.25, 0.75, 0.75)
    assert verdict.coverage.looked_at_s == (0.0, 1.0, 3.0)
    assert (verdict.video.codec, verdict.video.rotation, verdict.video.clip_bytes) == ("h264", 90, 100)
    assert (verdict.video.read_bytes, verdict.video.read_requests) == (300, 2)
    assert verdict.timings == (StageTiming("sample", 5.0), StageTiming("infer", 40.0))
    assert verdict.evidence[0].jpeg == b"\xff\xd8"
    assert (verdict.model_version, verdict.policy_version) == ("demonstrator/1", "p1")
    assert (verdict.content_digest, verdict.cached) == ("blake3:00", True)
    assert (verdict.case_id, verdict.case_handoff) == ("c1", "KEPT")


async def test_an_action_of_a_newer_server_is_not_taken_for_allow(gateway: FakeGateway, target: str):
    gateway.verdict.action = 77  # type: ignore[assignment]
    async with ScoringClient(target) as client:
        assert (await client.score(VIDEO)).action is Action.UNSPECIFIED


async def test_a_path_is_sent_as_content_and_a_uri_as_uri(gateway: FakeGateway, target: str, tmp_path: Path):
    (tmp_path / "clip.mp4").write_bytes(b"from a file")
    async with ScoringClient(target) as client:
        await client.score(tmp_path / "clip.mp4")
        await client.score(Uri("s3://bucket/clip.mp4"))
    by_path, by_uri = gateway.requests
    assert (by_path.content, by_uri.uri) == (b"from a file", "s3://bucket/clip.mp4")


async def test_a_str_is_not_a_source(target: str):
    async with ScoringClient(target) as client:
        with pytest.raises(TypeError, match=r"Uri\(str\) or pathlib\.Path, not str"):
            await client.score("clip.mp4")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no scheme"):
        Uri("clip.mp4")


async def test_a_missing_file_is_not_sent(gateway: FakeGateway, target: str, tmp_path: Path):
    async with ScoringClient(target) as client:
        with pytest.raises(SourceUnreadable, match=r"missing\.mp4: No such file") as missing:
            await client.score(tmp_path / "missing.mp4")
    assert missing.value.code is None
    assert gateway.requests == []


@pytest.mark.parametrize("kind", ["content", "file", "file that claims to be empty"])
async def test_a_video_over_the_limit_is_not_sent(gateway: FakeGateway, target: str, tmp_path: Path, kind: str):
    (tmp_path / "large.mp4").write_bytes(b"12345")
    source: Source = {"content": Content(b"12345"), "file": tmp_path / "large.mp4"}.get(kind, Path("/dev/zero"))
    async with ScoringClient(target, ClientOptions(max_content_bytes=4)) as client:
        with pytest.raises(InvalidVideo, match="VIDEO_TOO_LARGE") as large:
            await client.score(source)
    assert large.value.metadata == {"limit": "max_content_bytes", "max": "4", "value": "5"}
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("refusal", "kind", "reason"),
    [
        (NOT_A_VIDEO, InvalidVideo, "NOT_A_VIDEO"),
        (Refusal("INVALID_ARGUMENT", reason="VIDEO_TOO_LARGE"), InvalidVideo, "VIDEO_TOO_LARGE"),
        (Refusal("INVALID_ARGUMENT", reason="INVALID_REQUEST"), InvalidRequest, "INVALID_REQUEST"),
        (Refusal("INVALID_ARGUMENT"), InvalidRequest, "INVALID_ARGUMENT"),
        (Refusal("UNAUTHENTICATED"), Unauthenticated, "UNAUTHENTICATED"),
        (Refusal("PERMISSION_DENIED", reason="URI_NOT_ALLOWED"), NotAllowed, "URI_NOT_ALLOWED"),
        (Refusal("NOT_FOUND", reason="FETCH_FAILED"), NotFound, "FETCH_FAILED"),
        (NOT_CACHED, VerdictNotCached, "VERDICT_NOT_CACHED"),
        (OVERLOADED, Overloaded, "OVERLOADED"),
        (Refusal("RESOURCE_EXHAUSTED", reason="QUOTA_EXCEEDED"), Overloaded, "QUOTA_EXCEEDED"),
        (Refusal("UNAVAILABLE", reason="BACKEND_UNAVAILABLE"), Unavailable, "BACKEND_UNAVAILABLE"),
        (Refusal("CANCELLED"), Unavailable, "CANCELLED"),
        (Refusal("DEADLINE_EXCEEDED"), DeadlineExceeded, "DEADLINE_EXCEEDED"),
        (Refusal("INTERNAL", reason="INTERNAL"), InternalError, "INTERNAL"),
        (Refusal("UNIMPLEMENTED"), UnexpectedAnswer, "UNIMPLEMENTED"),
    ],
)
async def test_every_status_has_its_error(
    gateway: FakeGateway, target: str, refusal: Refusal, kind: type[ScoringError], reason: str
):
    gateway.answers.append(refusal)
    async with ScoringClient(target, ONCE) as client:
        with pytest.raises(ScoringError) as raised:
            await client.score(VIDEO)
    error = raised.value
    assert type(error) is kind
    assert (error.code, error.reason, error.message) == (refusal.code, reason, refusal.message)
    assert error.retry_after_s == refusal.retry_after_s


async def test_details_are_read(gateway: FakeGateway, target: str):
    gateway.answers.append(
        Refusal(
            "INVALID_ARGUMENT",
            reason="INVALID_REQUEST",
            metadata={"limit": "x"},
            retry_after_s=0.25,
            field_at_fault="max_evidence_frames",
        )
    )
    async with ScoringClient(target) as client:
        with pytest.raises(InvalidRequest) as raised:
            await client.score(VIDEO)
    error = raised.value
    assert (error.metadata, error.retry_after_s, error.field) == ({"limit": "x"}, 0.25, "max_evidence_frames")


async def test_overload_is_retried_when_the_server_asks(gateway: FakeGateway, target: str):
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    gateway.answers.extend([OVERLOADED, OVERLOADED])
    clock = Clock(now_s=lambda: 0.0, sleep=sleep, uniform=lambda low, high: low)
    async with ScoringClient(target, clock=clock) as client:
        verdict = await client.score(VIDEO)
    assert verdict.action is Action.BLOCK
    assert pauses == [1.5, 1.5]
    assert len(gateway.requests) == 3


async def test_grpc_s_own_size_refusal_is_not_taken_for_overload(gateway: FakeGateway, target: str):
    gateway.answers.append(Refusal("RESOURCE_EXHAUSTED", "CLIENT: Received message larger than max (9000 vs. 4000)"))
    async with ScoringClient(target) as client:
        with pytest.raises(InvalidVideo, match="VIDEO_TOO_LARGE"):
            await client.score(VIDEO)
        assert len(gateway.requests) == 1
        with pytest.raises(InvalidVideo, match="VIDEO_TOO_LARGE"):
            await client.score(Content(bytes(5 << 20)))  # the fake keeps grpc's default of 4 MiB
    assert len(gateway.requests) == 1


async def test_a_server_that_is_not_there_is_unavailable():
    async with ScoringClient("127.0.0.1:1", ONCE) as client:
        with pytest.raises(Unavailable) as raised:
            await client.score(VIDEO)
    assert raised.value.reason == "UNAVAILABLE"


async def test_the_deadline_reaches_the_server(gateway: FakeGateway, target: str):
    gateway.holding = True
    async with ScoringClient(target) as client:
        with pytest.raises(DeadlineExceeded):
            await client.score(VIDEO, deadline_s=0.05)
        await gateway.cancelled.wait()


async def test_cancelling_the_caller_cancels_the_call(gateway: FakeGateway, target: str):
    gateway.holding = True
    async with ScoringClient(target) as client:
        task = asyncio.create_task(client.score(VIDEO))
        await gateway.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gateway.cancelled.wait()
    assert len(gateway.requests) == 1


async def test_an_answer_without_a_verdict_is_an_error(gateway: FakeGateway, target: str):
    gateway.answers.append(scoring_pb2.ScoreResponse(video_id="v1"))
    async with ScoringClient(target) as client:
        with pytest.raises(UnexpectedAnswer, match="NO_VERDICT"):
            await client.score(VIDEO)


async def test_outside_its_block_the_client_says_so():
    with pytest.raises(RuntimeError, match="async with"):
        await ScoringClient("127.0.0.1:1").score(VIDEO)
