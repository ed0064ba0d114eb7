"""Asks a running contender about videos: over HTTP, where the body is the video, or over gRPC.

What is sent is prepared before the clock runs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import aiohttp
import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from wildgate_perf.bench.peers.detector import Answer, answer_of
from wildgate_perf.bench.peers.peer_setup import PeerFailed
from wildgate_perf.loops import Ask, Stages
from wildgate_perf.workloads import INFER, SCORE, cost_nothing
from wildgate_proto.v1 import scoring_pb2

Answering: TypeAlias = Callable[[bytes], Awaitable[Answer]]
_DEADLINE_S = 60.0
_OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


class PeerClient(Protocol):
    """A client of a running peer; crosses into the load generator's process."""

    def request(self, video: Path) -> bytes:
        """What is sent about `video`."""

    def connected(self) -> AbstractAsyncContextManager[Answering]:
        """Connects; sends a request, and raises PeerFailed for no answer or a bad one."""


@dataclass(frozen=True)
class VideoRequests:
    """A workload (see `wildgate_perf.workloads`): the same videos over and over."""

    client: PeerClient
    videos: tuple[Path, ...]

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Ask]:
        """Connects, and asks about the video of a number."""
        requests = [self.client.request(video) for video in self.videos]
        async with self.client.connected() as answering:

            async def ask(number: int) -> Stages:
                await answering(requests[number % len(requests)])
                return {}

            yield ask


def answers(client: PeerClient, videos: Sequence[Path]) -> list[Answer]:
    """What the peer answers about `videos`. Raises PeerFailed."""

    async def asked() -> list[Answer]:
        async with client.connected() as answering:
            return [await answering(client.request(video)) for video in videos]

    return asyncio.run(asked())


@dataclass(frozen=True)
class HttpClient:
    """Posts the file's bytes to `http://ADDRESS/score` on connections that are kept."""

    address: str

    def request(self, video: Path) -> bytes:
        """The file's bytes."""
        return video.read_bytes()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Answering]:
        """See `PeerClient`; the answer is JSON."""
        timeout, headers = aiohttp.ClientTimeout(total=_DEADLINE_S), {"Content-Type": "application/octet-stream"}
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:

            async def answering(request: bytes) -> Answer:
                try:
                    async with session.post(f"http://{self.address}/score", data=request) as response:
                        body = await response.read()
                except (aiohttp.ClientError, TimeoutError) as error:
                    raise PeerFailed(f"{type(error).__name__}: {error}") from error
                if response.status != 200:
                    raise PeerFailed(f"HTTP {response.status}: {body[:300].decode(errors='replace')}")
                answer: Answer = json.loads(body)
                return answer

            yield answering


@dataclass(frozen=True)
class _GrpcClient:
    address: str

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Answering]:
        """See `PeerClient`."""
        async with grpc.aio.insecure_channel(self.address, _OPTIONS) as channel:
            call: Any = channel.unary_unary(self._method())

            async def answering(request: bytes) -> Answer:
                try:
                    return self._answer(await call(request, timeout=_DEADLINE_S))
                except grpc.aio.AioRpcError as error:
                    raise PeerFailed(f"{error.code().name}: {error.details()}") from None

            yield answering

    def _method(self) -> str:
        raise NotImplementedError

    def _answer(self, response: bytes) -> Answer:
        raise NotImplementedError


class TritonFileClient(_GrpcClient):
    """Sends the whole file as VIDEO UINT8 [bytes] to Triton's model `whole_video`."""

    def request(self, video: Path) -> bytes:
        """A ModelInferRequest."""
        content = video.read_bytes()
        request = service_pb2.ModelInferRequest(model_name="whole_video", raw_input_contents=[content])
        request.inputs.add(name="VIDEO", datatype="UINT8", shape=[len(content)])
        serialised: bytes = request.SerializeToString()
        return serialised

    def _method(self) -> str:
        return INFER

    def _answer(self, response: bytes) -> Answer:
        message = service_pb2.ModelInferResponse.FromString(response)
        outputs = zip(message.outputs, message.raw_output_contents, strict=True)
        tensors = {output.name: (output.shape, data) for output, data in outputs}
        shape, found = tensors["DETECTIONS"]
        times = np.frombuffer(tensors["TIMES_S"][1], np.float64)
        return answer_of(np.frombuffer(found, np.float32).reshape(shape), times.tolist())


@dataclass(frozen=True)
class WildgateClient(_GrpcClient):
    """Sends the video as `content`, or only where it lies (`by_uri`); `labels` are the detector's, in its order."""

    labels: tuple[str, ...]
    by_uri: bool = False

    def request(self, video: Path) -> bytes:
        """A ScoreRequest."""
        if self.by_uri:
            return scoring_pb2.ScoreRequest(uri=video.resolve().as_uri()).SerializeToString()
        return scoring_pb2.ScoreRequest(content=video.read_bytes()).SerializeToString()

    def _method(self) -> str:
        return SCORE

    def _answer(self, response: bytes) -> Answer:
        verdict = scoring_pb2.ScoreResponse.FromString(response).verdict
        if cost_nothing(verdict):
            raise PeerFailed("the verdict came from the cache or another video's scoring, so nothing was measured")
        times = list(verdict.coverage.looked_at_s)
        rows = [
            [times.index(found.time_s), *_corners(found.box), found.score, self.labels.index(found.label)]
            for found in verdict.detections
        ]
        return {"times_s": times, "detections": rows}


def _corners(box: Any) -> tuple[float, float, float, float]:
    return box.x1, box.y1, box.x2, box.y2
