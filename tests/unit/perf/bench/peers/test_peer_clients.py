"""What contenders are asked over gRPC, and what is read out of their answers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from wildgate_perf.bench.peers.clients import TritonFileClient, WildgateClient, answers
from wildgate_perf.bench.peers.peer_setup import PeerFailed
from wildgate_proto.v1 import scoring_pb2

VERDICT = scoring_pb2.Verdict(
    detections=[
        scoring_pb2.Detection(
            label="tiger", score=0.75, time_s=2.0, box=scoring_pb2.Box(x1=0.25, y1=0.5, x2=0.75, y2=1)
        )
    ],
    coverage=scoring_pb2.Coverage(looked_at_s=[0.0, 2.0]),
)


class Scripted(grpc.GenericRpcHandler):
    """Answers any unary method with `answer`, and keeps what it was asked."""

    def __init__(self) -> None:
        self.address, self.answer = "", b""
        self.asked: list[tuple[str, bytes]] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def respond(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.asked.append((details.method, request))
            if not self.answer:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
            return self.answer

        return grpc.unary_unary_rpc_method_handler(respond)


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    handler, server = Scripted(), grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((handler,))
    handler.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield handler
    server.stop(None)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    file = tmp_path / "video.mp4"
    file.write_bytes(b"\x00\xffvideo")
    return file


def test_wildgate_is_asked_with_the_bytes(scripted: Scripted, video: Path) -> None:
    scripted.answer = scoring_pb2.ScoreResponse(verdict=VERDICT).SerializeToString()
    found = answers(WildgateClient(scripted.address, ("lion", "tiger")), [video])
    assert found == [{"times_s": [0.0, 2.0], "detections": [[1, 0.25, 0.5, 0.75, 1.0, 0.75, 1]]}]
    method, request = scripted.asked[0]
    assert method == "/wildgate.v1.ScoringService/Score"
    assert scoring_pb2.ScoreRequest.FromString(request).content == b"\x00\xffvideo"


def test_wildgate_is_asked_where_the_video_lies(video: Path) -> None:
    request = WildgateClient("", (), by_uri=True).request(video)
    assert scoring_pb2.ScoreRequest.FromString(request).uri == video.as_uri()


@pytest.mark.parametrize(
    "verdict",
    [scoring_pb2.Verdict(cached=True), scoring_pb2.Verdict(timings=[scoring_pb2.StageTiming(stage="shared")])],
    ids=["cached", "shared"],
)
def test_a_verdict_that_cost_nothing_measures_nothing(
    scripted: Scripted, video: Path, verdict: scoring_pb2.Verdict
) -> None:
    scripted.answer = scoring_pb2.ScoreResponse(verdict=verdict).SerializeToString()
    with pytest.raises(PeerFailed, match="cache"):
        answers(WildgateClient(scripted.address, ()), [video])


def test_a_refusal_is_called_by_its_status(scripted: Scripted, video: Path) -> None:
    with pytest.raises(PeerFailed, match="RESOURCE_EXHAUSTED: full"):
        answers(WildgateClient(scripted.address, ()), [video])


def test_triton_is_asked_with_the_whole_file(scripted: Scripted, video: Path) -> None:
    found = np.zeros((1, 2, 1, 6), np.float32)
    found[0, 1, 0] = [0.25, 0.5, 0.75, 1, 0.5, 4]
    response = service_pb2.ModelInferResponse(raw_output_contents=[np.array([0.0, 2.0]).tobytes(), found.tobytes()])
    response.outputs.add(name="TIMES_S", datatype="FP64", shape=[2])
    response.outputs.add(name="DETECTIONS", datatype="FP32", shape=found.shape)
    scripted.answer = response.SerializeToString()
    assert answers(TritonFileClient(scripted.address), [video]) == [
        {"times_s": [0.0, 2.0], "detections": [[1, 0.25, 0.5, 0.75, 1.0, 0.5, 4]]}
    ]
    request = service_pb2.ModelInferRequest.FromString(scripted.asked[0][1])
    assert request.model_name == "whole_video"
    assert request.inputs[0].shape == [7]
    assert list(request.raw_input_contents) == [b"\x00\xffvideo"]
