"""Asks Triton and wildgate over gRPC, with requests that are serialised beforehand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from wildgate_perf.peers.detector import Answer, answer_of
from wildgate_perf.peers.peer_setup import PeerFailed
from wildgate_perf.questions import cost_nothing
from wildgate_proto.v1 import scoring_pb2

__all__ = ["TritonAsker", "WildgateAsker"]

_DEADLINE_S = 60.0
_OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


class _GrpcAsker:
    """One channel; a request is bytes already."""

    method: str

    def __init__(self, address: str) -> None:
        self._address = address

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(self._address, _OPTIONS)
        self._call: Callable[..., Awaitable[bytes]] = self._channel.unary_unary(self.method)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def _answered(self, request: bytes) -> bytes:
        try:
            return await self._call(request, timeout=_DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            raise PeerFailed(f"{error.code().name}: {error.details()}") from None


class TritonAsker(_GrpcAsker):
    """Sends the whole file as VIDEO UINT8 [bytes] to the model `whole_video`."""

    method = "/inference.GRPCInferenceService/ModelInfer"

    def question(self, video: Path) -> bytes:
        """A ModelInferRequest."""
        content = video.read_bytes()
        request = service_pb2.ModelInferRequest(model_name="whole_video", raw_input_contents=[content])
        request.inputs.add(name="VIDEO", datatype="UINT8", shape=[len(content)])
        serialised: bytes = request.SerializeToString()
        return serialised

    async def ask(self, question: bytes) -> Answer:
        """What the model's two tensors say. Raises PeerFailed."""
        response = service_pb2.ModelInferResponse.FromString(await self._answered(question))
        outputs = zip(response.outputs, response.raw_output_contents, strict=True)
        tensors = {output.name: (output.shape, data) for output, data in outputs}
        shape, found = tensors["DETECTIONS"]
        times = np.frombuffer(tensors["TIMES_S"][1], np.float64)
        return answer_of(np.frombuffer(found, np.float32).reshape(shape), times.tolist())


class WildgateAsker(_GrpcAsker):
    """Sends the video as `content`, or only where it lies (`by_uri`); `labels` are the detector's, in its order."""

    method = "/wildgate.v1.ScoringService/Score"

    def __init__(self, address: str, labels: tuple[str, ...], *, by_uri: bool = False) -> None:
        super().__init__(address)
        self._class_of = {label: place for place, label in enumerate(labels)}
        self._by_uri = by_uri

    def question(self, video: Path) -> bytes:
        """A ScoreRequest."""
        request = scoring_pb2.ScoreRequest()
        if self._by_uri:
            request.uri = video.resolve().as_uri()
        else:
            request.content = video.read_bytes()
        return request.SerializeToString()

    async def ask(self, question: bytes) -> Answer:
        """What the verdict says. Raises PeerFailed, also for a verdict that was in the cache or shared."""
        verdict = scoring_pb2.ScoreResponse.FromString(await self._answered(question)).verdict
        if cost_nothing(verdict):
            raise PeerFailed("the verdict came from the cache or another's scoring, so nothing was measured")
        times = list(verdict.coverage.looked_at_s)
        place = {time_s: number for number, time_s in enumerate(times)}
        rows = [
            [
                place[found.time_s],
                *(found.box.x1, found.box.y1, found.box.x2, found.box.y2),
                found.score,
                self._class_of[found.label],
            ]
            for found in verdict.detections
        ]
        return {"times_s": times, "detections": rows}
