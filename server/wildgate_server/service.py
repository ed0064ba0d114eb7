"""The gRPC service: requests in, places and deadlines for them, answers out. What lies between is `pipeline`."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from time import monotonic
from typing import Any

import grpc
import structlog

from wildgate_proto.v1 import scoring_pb2 as pb
from wildgate_server import tracing
from wildgate_server.access.access_interceptor import log_refusal, present_caller, require_scope
from wildgate_server.access.tenants import Priority, Tenants
from wildgate_server.access.tokens import Caller
from wildgate_server.admission import Admission, AdmissionSettings
from wildgate_server.enforcement.case_request import check_context, check_subject
from wildgate_server.enforcement.handoff import CaseHandoff
from wildgate_server.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    InvalidVideo,
    Overloaded,
    QuotaExceeded,
    UriNotAllowed,
    UriNotFound,
    VerdictNotCached,
    WildgateError,
)
from wildgate_server.interceptor import Context, expected, written
from wildgate_server.metrics import Metrics
from wildgate_server.pace import Pace
from wildgate_server.pipeline import Answer, ScoringPipeline
from wildgate_server.received import Received, received_item, received_request
from wildgate_server.sampling.look import Scrutiny
from wildgate_server.stages import Timings
from wildgate_server.turns import Standing
from wildgate_server.wire import status_of, verdict_for_case, verdict_of

__all__ = ["SERVICE_NAME", "ScoringService"]

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["ScoringService"].full_name

_log = structlog.get_logger()
_SCORE, _STREAM = f"{SERVICE_NAME}/Score", f"{SERVICE_NAME}/ScoreStream"

_MAX_EVIDENCE_FRAMES = 64
_LOGGED_ID_LENGTH = 128
_REQUEST_ID = "x-request-id"
_QUOTA_PAUSE_S = 0.25  # a stream whose tenant has had its share is read no faster


class ScoringService:
    """`wildgate.v1.ScoringService` over the parts it is given."""

    def __init__(
        self,
        pipeline: ScoringPipeline,
        admission: Admission,
        metrics: Metrics,
        settings: AdmissionSettings,
        cases: CaseHandoff | None = None,
        tenants: Tenants | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._admission = admission
        self._metrics = metrics
        self._settings = settings
        self._cases = cases
        self._tenants = tenants or Tenants(None)
        self._shares = {
            Priority.HIGH: 1.0,
            Priority.NORMAL: settings.normal_share,
            Priority.LOW: settings.low_share,
        }
        self._failing = Pace("videos of this connection were refused", at_once=200, per_s=100.0)

    def join(self, server: grpc.aio.Server) -> None:
        """Adds this service to the server.

        In place of the generated function, whose messages would hold each video for as long as its call lasts.
        """
        handlers = {
            "Score": grpc.stream_stream_rpc_method_handler(  # its place comes before its message
                self.score,
                request_deserializer=received_request,
                response_serializer=pb.ScoreResponse.SerializeToString,
            ),
            "ScoreStream": grpc.stream_stream_rpc_method_handler(
                self.score_stream,
                request_deserializer=received_item,
                response_serializer=pb.ScoreStreamResponse.SerializeToString,
            ),
        }
        server.add_registered_method_handlers(SERVICE_NAME, handlers)

    async def score(self, requests: AsyncIterator[Received], context: Context) -> None:
        """Scores one video, or refuses at once, with its message unread, when the server is full."""
        connection, settings, metadata = context.peer(), self._settings, context.invocation_metadata()
        standing = self._standing(caller := present_caller(), connection)
        self._failing.check(connection)
        within_s = self._within_s(context)
        with (
            tracing.serving(_SCORE, metadata),
            _named(metadata),
            self._accounted(connection),
            self._admission.admit(connection=connection, standing=standing, within_s=within_s) as place,
            self._tenants.video(caller) as weigh,  # last: who finds no place has had nothing of its share
        ):
            with tracing.span("receive"):
                request = await self._arrived(requests)
            weigh(request.size)
            self._admission.weigh(place, request.size)
            _name_video(request)
            verdict = await self._verdict(request, monotonic() + self._within_s(context), standing)
            answer = pb.ScoreResponse(video_id=request.message.video_id, verdict=verdict)
            with tracing.span("answer"):
                await written(context, answer, settings.answer_timeout_s)

    async def score_stream(self, requests: AsyncIterator[Received], context: Context) -> None:
        """Scores videos as they come and answers as they finish.

        The next video is read only when the one before has a place, so a stream holds one video without a place. A
        stream that has to give way answers what it has read before it ends, and one whose videos are refused again and
        again is read at the pace of these.
        """
        connection, settings, metadata = context.peer(), self._settings, context.invocation_metadata()
        standing = self._standing(present_caller(), connection)
        turns = asyncio.Semaphore(settings.stream_concurrency)
        writing = asyncio.Lock()
        gave_way: Overloaded | None = None

        async def answer(request: Received, held: AsyncExitStack) -> None:
            try:
                async with held:
                    with tracing.serving(_STREAM, metadata), _named(metadata):
                        deadline = monotonic() + self._within_s(context)
                        response = await self._item(request, deadline, connection, standing)
                    async with writing:
                        await written(context, response, settings.answer_timeout_s)
                if response.error.code == QuotaExceeded.status:
                    await asyncio.sleep(_QUOTA_PAUSE_S)
                elif response.HasField("error"):
                    await asyncio.sleep(self._failing.wait_s(connection))
            finally:
                turns.release()

        with self._admission.stream(connection):
            try:
                async with asyncio.TaskGroup() as videos:
                    await turns.acquire()
                    try:
                        async for request in requests:
                            held = AsyncExitStack()
                            place = self._admission.admit_when_free(request.size, connection, standing)
                            await held.enter_async_context(place)
                            videos.create_task(answer(request, held), name="stream video")
                            await turns.acquire()
                    except Overloaded as error:
                        gave_way = error
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None
            if gave_way:
                raise gave_way

    def _standing(self, caller: Caller | None, connection: str) -> Standing:
        tenant = caller.tenant if caller else ""
        return Standing(tenant or connection, self._shares[self._tenants.priority(caller)])

    async def _arrived(self, requests: AsyncIterator[Received]) -> Received:
        try:
            async with asyncio.timeout(self._settings.arrival_timeout_s):
                return await anext(requests)
        except TimeoutError:
            seconds = self._settings.arrival_timeout_s
            raise DeadlineExceeded(f"the message had not arrived after {seconds:g} s") from None
        except StopAsyncIteration:
            raise InvalidRequest("no message came, or one that is too large") from None

    async def _item(
        self, request: Received, deadline: float, connection: str, standing: Standing
    ) -> pb.ScoreStreamResponse:
        video_id = request.message.video_id
        try:
            _name_video(request)
            with self._accounted(connection), self._tenants.video(present_caller(), request.size):
                verdict = await self._verdict(request, deadline, standing)
        except Exception as error:
            return pb.ScoreStreamResponse(video_id=video_id, error=status_of(expected(error)))
        return pb.ScoreStreamResponse(video_id=video_id, verdict=verdict)

    async def _verdict(self, request: Received, deadline: float, standing: Standing) -> pb.Verdict:
        scoring = self._scoring(request, deadline, standing)
        try:
            async with asyncio.timeout(deadline - monotonic()):
                answer = await scoring
                verdict = verdict_of(answer)
                if self._cases:
                    case = await self._cases.hand_over(request.message, verdict, partial(verdict_for_case, answer))
                    if case:
                        answer = answer.handed_over(case)
                        verdict = verdict_of(answer)
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed before the video was scored") from None
        self._count(pb.Action.Name(verdict.action).removeprefix("ACTION_"), answer.timings)
        coverage = verdict.coverage
        self._metrics.judged(
            ((label.label, pb.Action.Name(label.action).removeprefix("ACTION_")) for label in verdict.labels),
            gap_s=coverage.longest_gap_s,
            looked_at=coverage.frames_looked_at,
            unsound=coverage.unsound_frames,
        )
        return verdict

    def _count(self, outcome: str, timings: Timings | None = None) -> None:
        self._metrics.answered(outcome, timings, priority=self._tenants.priority(present_caller()))

    def _scoring(self, request: Received, deadline: float, standing: Standing) -> Coroutine[Any, Any, Answer]:
        message = request.message
        if request.fault is not None:
            raise request.fault
        evidence = message.max_evidence_frames
        if not 0 <= evidence <= _MAX_EVIDENCE_FRAMES:
            raise InvalidRequest(
                f"max_evidence_frames is {evidence}, not 0 to {_MAX_EVIDENCE_FRAMES}", field="max_evidence_frames"
            )
        if message.scrutiny not in pb.Scrutiny.values():
            raise InvalidRequest(f"scrutiny is {message.scrutiny}, which is not a known value", field="scrutiny")
        if evidence or message.explain_blocks:
            require_scope("evidence", "pictures")
        check_context(message.context)
        if self._cases:
            check_subject(message)
        scrutiny = Scrutiny(message.scrutiny or Scrutiny.NORMAL)
        pipeline, explain = self._pipeline, message.explain_blocks
        match message.WhichOneof("source"):
            case "content":
                require_scope("score", "scoring")
                content = request.take_content()
                return pipeline.score_content(
                    content,
                    deadline=deadline,
                    standing=standing,
                    max_evidence_frames=evidence,
                    scrutiny=scrutiny,
                    explain=explain,
                )
            case "uri":
                require_scope("score", "scoring")
                return pipeline.score_uri(
                    message.uri,
                    deadline=deadline,
                    standing=standing,
                    max_evidence_frames=evidence,
                    scrutiny=scrutiny,
                    explain=explain,
                )
            case "content_digest":
                require_scope("read_digests", "asking by digest")
                return pipeline.score_digest(message.content_digest, max_evidence_frames=evidence, scrutiny=scrutiny)
            case _:
                raise InvalidRequest("one of content, uri and content_digest is required", field="source")

    def _within_s(self, context: Context) -> float:
        """Seconds that are left: the caller's or the server's own cap on them, whichever are fewer."""
        remaining_s = context.time_remaining()
        cap_s = self._settings.max_deadline_s
        return cap_s if remaining_s is None else min(remaining_s, cap_s)

    @contextmanager
    def _accounted(self, connection: str) -> Iterator[None]:
        """Counts and logs a failure or a caller that left; what the caller is to blame for, for its pace too."""
        try:
            yield
        except asyncio.CancelledError:
            self._count("CANCELLED")
            _log.debug("video_given_up")
            raise
        except VerdictNotCached:
            raise  # neither a failure nor a video yet; the cache counts its misses itself
        except QuotaExceeded as error:
            log_refusal("scoring", present_caller(), error)
            self._count(error.reason)
            raise
        except Exception as error:
            failure = error if isinstance(error, WildgateError) else InternalError()
            self._count(failure.reason)
            # What callers can do something about is theirs to see; how many there are, the metrics say.
            to_blame = isinstance(error, InvalidVideo | InvalidRequest | UriNotAllowed | UriNotFound)
            level = logging.DEBUG if to_blame or isinstance(error, Overloaded) else logging.INFO
            _log.log(level, "video_failed", reason=failure.reason, error=failure.message)
            if to_blame:
                self._failing.count(connection)
            raise


@contextmanager
def _named(metadata: Any) -> Iterator[None]:
    """Names request and trace in log lines: as the caller does (`x-request-id`), or by a name made up here."""
    given = next((value for key, value in metadata or () if key == _REQUEST_ID and isinstance(value, str)), "")
    names = {"request_id": given[:_LOGGED_ID_LENGTH] or secrets.token_hex(8)}
    if trace_id := tracing.trace_id(metadata):
        names["trace_id"] = trace_id
    with structlog.contextvars.bound_contextvars(**names):
        yield


def _name_video(request: Received) -> None:
    """Names the video in log lines, too; each request is a task of its own."""
    structlog.contextvars.bind_contextvars(video_id=request.message.video_id[:_LOGGED_ID_LENGTH])
