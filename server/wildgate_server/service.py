"""The gRPC service: admits, bounds by the deadline, scores, answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from time import monotonic
from typing import Any

import grpc
import structlog

from wildgate_proto.v1 import scoring_pb2 as pb
from wildgate_proto.v1.scoring_pb2_grpc import ScoringServiceServicer
from wildgate_server.admission import Admission
from wildgate_server.errors import DeadlineExceeded, InternalError, InvalidRequest, WildgateError
from wildgate_server.interceptor import expected
from wildgate_server.metrics import Metrics
from wildgate_server.scoring import Scorer
from wildgate_server.settings import AdmissionSettings, SamplingSettings
from wildgate_server.sources import Sources
from wildgate_server.wire import status_of, verdict_of

__all__ = ["SERVICE_NAME", "ScoringService"]

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["ScoringService"].full_name

_MAX_EVIDENCE_FRAMES = 64
_LOGGED_ID_LENGTH = 128

Context = grpc.aio.ServicerContext[Any, Any]


class ScoringService(ScoringServiceServicer):
    """`wildgate.v1.ScoringService` over the parts it is given."""

    def __init__(
        self,
        *,
        scorer: Scorer,
        sources: Sources,
        admission: Admission,
        metrics: Metrics,
        admission_settings: AdmissionSettings,
        sampling_settings: SamplingSettings,
    ) -> None:
        self._scorer = scorer
        self._sources = sources
        self._admission = admission
        self._metrics = metrics
        self._settings = admission_settings
        self._max_gap_s = sampling_settings.max_gap_s

    async def Score(self, request: pb.ScoreRequest, context: Context) -> pb.ScoreResponse:
        """Scores one video, or refuses at once when the server is full."""
        with self._accounted(request):
            with self._admission.admit(request.ByteSize()):
                verdict = await self._verdict(request, self._deadline(context))
            return pb.ScoreResponse(video_id=request.video_id, verdict=verdict)

    async def ScoreStream(self, requests: AsyncIterator[pb.ScoreStreamRequest], context: Context) -> None:
        """Scores videos as they come and answers as they finish.

        The next video is read only when the one before has a place, so a stream holds one video without a place.
        """
        turns = asyncio.Semaphore(self._settings.stream_concurrency)
        writing = asyncio.Lock()

        async def answer(request: pb.ScoreRequest, held: AsyncExitStack) -> None:
            try:
                async with held:
                    response = await self._item(request, self._deadline(context))
                async with writing:
                    await context.write(response)
            finally:
                turns.release()

        async with asyncio.TaskGroup() as videos:
            await turns.acquire()
            async for item in requests:
                held = AsyncExitStack()
                await held.enter_async_context(self._admission.admit_when_free(item.request.ByteSize()))
                videos.create_task(answer(item.request, held), name="stream video")
                await turns.acquire()

    async def _item(self, request: pb.ScoreRequest, deadline: float) -> pb.ScoreStreamResponse:
        try:
            with self._accounted(request):
                verdict = await self._verdict(request, deadline)
        except Exception as error:
            return pb.ScoreStreamResponse(video_id=request.video_id, error=status_of(expected(error)))
        return pb.ScoreStreamResponse(video_id=request.video_id, verdict=verdict)

    async def _verdict(self, request: pb.ScoreRequest, deadline: float) -> pb.Verdict:
        if not 0 <= request.max_evidence_frames <= _MAX_EVIDENCE_FRAMES:
            raise InvalidRequest(
                f"max_evidence_frames is {request.max_evidence_frames}, not 0 to {_MAX_EVIDENCE_FRAMES}",
                field="max_evidence_frames",
            )
        source = self._sources.resolve(request)
        request.ClearField("source")  # the message's own copy of the video is not needed any more
        try:
            async with asyncio.timeout(deadline - monotonic()):
                scored = await self._scorer.score(
                    source, deadline=deadline, max_evidence_frames=request.max_evidence_frames
                )
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed before the video was scored") from None
        self._metrics.answered(scored.judgement.action.name, scored.timings)
        return verdict_of(scored, self._max_gap_s)

    def _deadline(self, context: Context) -> float:
        """The caller's deadline or the server's own cap, whichever is earlier, in monotonic seconds."""
        remaining_s = context.time_remaining()
        cap_s = self._settings.max_deadline_s
        return monotonic() + (cap_s if remaining_s is None else min(remaining_s, cap_s))

    @contextmanager
    def _accounted(self, request: pb.ScoreRequest) -> Iterator[None]:
        """Names the video in what is logged meanwhile, and counts a failure or a caller that left."""
        with structlog.contextvars.bound_contextvars(video_id=request.video_id[:_LOGGED_ID_LENGTH]):
            try:
                yield
            except asyncio.CancelledError:
                self._metrics.answered("CANCELLED")
                raise
            except Exception as error:
                self._metrics.answered(error.reason if isinstance(error, WildgateError) else InternalError.reason)
                raise
