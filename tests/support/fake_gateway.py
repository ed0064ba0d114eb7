"""A scripted gateway behind a real gRPC server: it answers from a list, then by content."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from wildgate_proto.v1 import scoring_pb2, scoring_pb2_grpc


@dataclass
class Refusal:
    """A failure as the server builds it."""

    code_name: str
    message: str = "no"
    reason: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None
    field_at_fault: str | None = None

    @property
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode[self.code_name]

    def status(self) -> status_pb2.Status:
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        details: list[object] = []
        if self.reason is not None:
            details.append(error_details_pb2.ErrorInfo(reason=self.reason, domain="wildgate", metadata=self.metadata))
        if self.retry_after_s is not None:
            delay = duration_pb2.Duration()
            delay.FromNanoseconds(round(self.retry_after_s * 1e9))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        if self.field_at_fault is not None:
            violation = error_details_pb2.BadRequest.FieldViolation(field=self.field_at_fault)
            details.append(error_details_pb2.BadRequest(field_violations=[violation]))
        for detail in details:
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        return status


NOT_A_VIDEO = Refusal("INVALID_ARGUMENT", "no media container", "NOT_A_VIDEO")
NOT_CACHED = Refusal("NOT_FOUND", "none is kept", "VERDICT_NOT_CACHED", field_at_fault="content_digest")
OVERLOADED = Refusal("RESOURCE_EXHAUSTED", "full", "OVERLOADED", retry_after_s=1.5)


def a_verdict(**changes: object) -> scoring_pb2.Verdict:
    """A verdict with every field set, as the server would send it."""
    verdict = scoring_pb2.Verdict(
        action=scoring_pb2.ACTION_BLOCK,
        labels=[
            scoring_pb2.LabelVerdict(
                label="live_tiger",
                action=scoring_pb2.ACTION_BLOCK,
                score=0.75,
                group=scoring_pb2.LABEL_GROUP_LIVE_ANIMAL,
                taxon="Panthera tigris",
                cites_appendix="I",
                frames=2,
                spans=[scoring_pb2.TimeSpan(start_s=1.0, end_s=3.0)],
                seconds=2.0,
                track=1,
            )
        ],
        detections=[
            scoring_pb2.Detection(
                label="live_tiger",
                score=0.75,
                time_s=1.0,
                box=scoring_pb2.Box(x1=0.25, y1=0.25, x2=0.75, y2=0.75),
                track=1,
            )
        ],
        coverage=scoring_pb2.Coverage(
            frames_looked_at=3,
            first_frame_s=0.0,
            last_frame_s=4.0,
            longest_gap_s=2.0,
            max_gap_s=2.0,
            looked_at_s=[0.0, 1.0, 3.0],
            unsound_frames=1,
            second_look=True,
            tracks=[
                scoring_pb2.TrackCoverage(
                    track=1,
                    frames_looked_at=3,
                    first_frame_s=0.0,
                    last_frame_s=4.0,
                    longest_gap_s=2.0,
                    looked_at_s=[0.0, 1.0, 3.0],
                    unsound_frames=1,
                )
            ],
        ),
        video=scoring_pb2.VideoInfo(
            format="mov,mp4",
            codec="h264",
            width=320,
            height=240,
            rotation=90,
            mirrored=True,
            pixel_aspect_numerator=4,
            pixel_aspect_denominator=3,
            tracks=2,
            content_bytes=1000,
            clip_bytes=100,
            read_bytes=300,
            read_requests=2,
        ),
        model_version="demonstrator/1",
        policy_version="p1",
        content_digest="blake3:00",
        timings=[
            scoring_pb2.StageTiming(stage="sample", duration_ms=5.0),
            scoring_pb2.StageTiming(stage="infer", duration_ms=40.0),
        ],
        block_matches=[
            scoring_pb2.BlockMatch(
                block_id="b1",
                label="rhino_horn",
                reason="case 7",
                source="partner",
                kind=scoring_pb2.BlockMatch.KIND_CONFIRMED,
                action=scoring_pb2.ACTION_BLOCK,
                frames=[scoring_pb2.MatchedFrame(track=1, time_s=1.0, distance=12, original_s=5.0, jpeg=b"jpeg")],
                share=0.5,
                original=scoring_pb2.TimeSpan(start_s=5.0, end_s=5.0),
                inliers=20,
            )
        ],
        block_check=scoring_pb2.BlockCheck(state=scoring_pb2.BlockCheck.STATE_STALE, position=7, frames_compared=True),
        case_id="c1",
        case_handoff=scoring_pb2.CASE_HANDOFF_KEPT,
    )
    verdict.MergeFrom(scoring_pb2.Verdict(**changes))
    return verdict


@dataclass
class FakeGateway:
    """Gives `answers` first; then refuses content that begins with b"garbage" and scores the rest.

    Asked by digest, it has a verdict on those in `known`.
    """

    answers: deque[scoring_pb2.Verdict | Refusal | scoring_pb2.ScoreResponse] = field(default_factory=deque)
    verdict: scoring_pb2.Verdict = field(default_factory=a_verdict)
    known: set[str] = field(default_factory=set)
    requests: list[scoring_pb2.ScoreRequest] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)  # of the last call
    # While `holding`, requests wait; `arrived` and `cancelled` say that one came and that its caller left.
    holding: bool = False
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    # Streams end after this many results, in order or with a refusal.
    end_stream_after: int | None = None
    end_stream_with: Refusal | None = None

    def answer(self, request: scoring_pb2.ScoreRequest) -> scoring_pb2.Verdict | Refusal | scoring_pb2.ScoreResponse:
        self.requests.append(request)
        if self.answers:
            return self.answers.popleft()
        if request.content_digest and request.content_digest not in self.known:
            return NOT_CACHED
        return NOT_A_VIDEO if request.content.startswith(b"garbage") else self.verdict


class AioServicer(scoring_pb2_grpc.ScoringServiceServicer):
    def __init__(self, gateway: FakeGateway) -> None:
        self._gateway = gateway

    async def _wait_while_held(self) -> None:
        self._gateway.arrived.set()
        if not self._gateway.holding:
            return
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self._gateway.cancelled.set()
            raise

    async def Score(self, request, context):
        self._gateway.metadata = dict(context.invocation_metadata())
        answer = self._gateway.answer(request)
        await self._wait_while_held()
        if isinstance(answer, Refusal):
            status = rpc_status.to_status(answer.status())
            await context.abort(status.code, status.details, status.trailing_metadata)
        if isinstance(answer, scoring_pb2.ScoreResponse):
            return answer
        return scoring_pb2.ScoreResponse(video_id=request.video_id, verdict=answer)

    async def ScoreStream(self, request_iterator, context):
        self._gateway.metadata = dict(context.invocation_metadata())
        async for number, message in _enumerate(request_iterator):
            answer = self._gateway.answer(message.request)
            await self._wait_while_held()
            response = scoring_pb2.ScoreStreamResponse(video_id=message.request.video_id)
            if isinstance(answer, Refusal):
                response.error.CopyFrom(answer.status())
            elif isinstance(answer, scoring_pb2.Verdict):
                response.verdict.CopyFrom(answer)
            yield response
            if number + 1 == self._gateway.end_stream_after:
                if self._gateway.end_stream_with is not None:
                    status = rpc_status.to_status(self._gateway.end_stream_with.status())
                    await context.abort(status.code, status.details, status.trailing_metadata)
                return


class SyncServicer(scoring_pb2_grpc.ScoringServiceServicer):
    def __init__(self, gateway: FakeGateway) -> None:
        self._gateway = gateway

    def Score(self, request, context):
        answer = self._gateway.answer(request)
        if isinstance(answer, Refusal):
            context.abort_with_status(rpc_status.to_status(answer.status()))
        return scoring_pb2.ScoreResponse(video_id=request.video_id, verdict=answer)


@contextlib.asynccontextmanager
async def serving_aio(gateway: FakeGateway) -> AsyncIterator[str]:
    server = grpc.aio.server()
    scoring_pb2_grpc.add_ScoringServiceServicer_to_server(AioServicer(gateway), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@contextlib.contextmanager
def serving_sync(gateway: FakeGateway) -> Iterator[str]:
    with ThreadPoolExecutor(max_workers=4) as pool:
        server = grpc.server(pool)
        scoring_pb2_grpc.add_ScoringServiceServicer_to_server(SyncServicer(gateway), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


async def _enumerate(requests):
    number = 0
    async for request in requests:
        yield number, request
        number += 1
