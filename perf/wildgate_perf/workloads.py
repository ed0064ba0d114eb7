"""What load generators send: requests that are serialised beforehand, so that little but the sending is left.

A generator that builds 8 MB messages while it measures takes the cores that it wants to measure.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import grpc
from tritonclient.grpc import service_pb2

from wildgate_client import ClientOptions
from wildgate_perf.loops import Ask, Stages, Unanswered
from wildgate_perf.server_parts import Stage, sampling_workers
from wildgate_proto.v1 import scoring_pb2
from wildgate_server.repository.model_configs import VIDEO_SCORER

SCORE = "/wildgate.v1.ScoringService/Score"
INFER = "/inference.GRPCInferenceService/ModelInfer"
_CONNECT_S = 10.0

TritonRow: TypeAlias = tuple[bytes, tuple[int, ...], tuple[int, int, int, int]]
"""CLIP, FRAME_INDEX and DISPLAY."""


class Workload(Protocol):
    """What is sent to one target; it crosses into the load generator's process."""

    def opened(self) -> AbstractAsyncContextManager[Ask]:
        """Connects; yields what sends the request of a number, over and over from the first."""


@dataclass(frozen=True)
class Requests:
    """Requests, sent in turn, to one method of one gRPC target; each may take `deadline_s`.

    `cached` is whether verdicts must come from the cache, or from the scoring of an equal video. One that does not (or
    does) counts as a failure: it would measure something else.
    """

    target: str
    method: str
    requests: tuple[bytes, ...] = field(repr=False)
    deadline_s: float = 10.0
    cached: bool = False

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Ask]:
        """See `Workload`."""
        scores = self.method == SCORE
        async with _connected(self.target) as channel:
            call: Any = channel.unary_unary(
                self.method, response_deserializer=scoring_pb2.ScoreResponse.FromString if scores else None
            )

            async def ask(number: int) -> Stages:
                answer = await _answered(call, self.requests[number % len(self.requests)], self.deadline_s)
                if not scores:
                    return {}
                if (cached := cost_nothing(answer.verdict)) != self.cached:
                    where = "came" if cached else "did not come"
                    raise Unanswered(f"CACHED: the verdict {where} from the cache or another video's scoring")
                return {timing.stage: timing.duration_ms for timing in answer.verdict.timings}

            yield ask


@dataclass(frozen=True)
class CallerSampled:
    """Videos that the caller samples itself, as a gateway does and with as many workers, for Triton."""

    target: str
    files: tuple[Path, ...]
    repository: Path
    deadline_s: float = 10.0

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Ask]:
        """See `Workload`."""
        async with _connected(self.target) as channel, sampling_workers(self.repository) as sample:
            call: Any = channel.unary_unary(INFER)

            async def ask(number: int) -> Stages:
                track = (await sample(self.files[number % len(self.files)])).default_track
                for window in track.windows:
                    request = _triton_request((window.clip, window.frame_index, track.display.row))
                    await _answered(call, request, self.deadline_s)
                return {}

            yield ask


@dataclass(frozen=True)
class InTurns:
    """Several workloads in turn, one request each: whatever else the machine does hits all of them alike."""

    workloads: tuple[Workload, ...]

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Ask]:
        """See `Workload`."""
        async with AsyncExitStack() as stack:
            asks = [await stack.enter_async_context(workload.opened()) for workload in self.workloads]

            async def ask(number: int) -> Stages:
                turn, place = divmod(number, len(asks))
                return await asks[place](turn)

            yield ask


def cost_nothing(verdict: scoring_pb2.Verdict) -> bool:
    """Whether nobody looked at the video for this verdict: it was in the cache, or another request's was shared."""
    return verdict.cached or any(timing.stage == Stage.SHARED for timing in verdict.timings)


def by_uri(target: str, uris: Iterable[str]) -> Requests:
    """Score, for each of the videos at `uris`."""
    return Requests(target, SCORE, tuple(scoring_pb2.ScoreRequest(uri=uri).SerializeToString() for uri in uris))


def by_content(target: str, contents: Iterable[bytes], *, cached: bool = False) -> Requests:
    """Score, for each of the videos whose bytes are given."""
    requests = tuple(scoring_pb2.ScoreRequest(content=content).SerializeToString() for content in contents)
    return Requests(target, SCORE, requests, cached=cached)


def by_digest(target: str, digests: Iterable[str]) -> Requests:
    """Score, for each of the videos of which only the digest is given."""
    requests = tuple(scoring_pb2.ScoreRequest(content_digest=digest).SerializeToString() for digest in digests)
    return Requests(target, SCORE, requests, cached=True)


def straight_to_triton(
    target: str, clips: Sequence[TritonRow], *, model: str = VIDEO_SCORER, output: str = "", rows: int = 1
) -> Requests:
    """ModelInfer, by default of the ensemble: a request for each of `clips`, which has it so many `rows` times."""
    return Requests(target, INFER, tuple(_triton_request(clip, model, output, rows) for clip in clips))


@asynccontextmanager
async def _connected(target: str) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(target, ClientOptions().channel_options()) as channel:
        async with asyncio.timeout(_CONNECT_S):
            await channel.channel_ready()
        yield channel


async def _answered(call: Any, request: bytes, deadline_s: float) -> Any:
    try:
        return await call(request, timeout=deadline_s)
    except grpc.aio.AioRpcError as error:
        raise Unanswered(f"{error.code().name}: {error.details()}") from None


def _triton_request(row: TritonRow, model: str = VIDEO_SCORER, output: str = "", rows: int = 1) -> bytes:
    """ModelInfer for one output, or all, serialised."""
    clip, frame_index, display = row
    request = service_pb2.ModelInferRequest(model_name=model)
    tensors = (
        ("CLIP", "UINT8", len(clip), clip),
        ("FRAME_INDEX", "INT32", len(frame_index), struct.pack(f"<{len(frame_index)}i", *frame_index)),
        ("DISPLAY", "INT32", len(display), struct.pack("<4i", *display)),
    )
    for name, datatype, width, raw in tensors:
        request.inputs.add(name=name, datatype=datatype, shape=[rows, width])
        request.raw_input_contents.append(raw * rows)
    if output:  # else all that it has: an ensemble of which some are not wanted never answers
        request.outputs.add(name=output)
    serialised: bytes = request.SerializeToString()
    return serialised
