from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import pytest_asyncio
from tritonclient.grpc import service_pb2

from wildgate_perf.peers.grpc_asker import TritonAsker, WildgateAsker
from wildgate_perf.peers.peer_setup import PeerFailed
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
        self.answer = b""
        self.asked: list[tuple[str, bytes]] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        async def respond(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            self.asked.append((details.method, request))
            if not self.answer:
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
            return self.answer

        return grpc.unary_unary_rpc_method_handler(respond)


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest_asyncio.fixture
async def address(scripted: Scripted) -> AsyncIterator[str]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((scripted,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    file = tmp_path / "video.mp4"
    file.write_bytes(b"\x00\xffvideo")
    return file


async def test_wildgate_is_asked_with_the_bytes(scripted: Scripted, address: str, video: Path) -> None:
    scripted.answer = scoring_pb2.ScoreResponse(verdict=VERDICT).SerializeToString()
    asker = WildgateAsker(address, ("lion", "tiger"))
    async with asker:
        answer = await asker.ask(asker.question(video))
    assert answer == {"times_s": [0.0, 2.0], "detections": [[1, 0.25, 0.5, 0.75, 1.0, 0.75, 1]]}
    method, request = scripted.asked[0]
    assert method == "/wildgate.v1.ScoringService/Score"
    assert scoring_pb2.ScoreRequest.FromString(request).content == b"\x00\xffvideo"


async def test_wildgate_is_asked_where_the_video_lies(scripted: Scripted, address: str, video: Path) -> None:
    asker = WildgateAsker(address, (), by_uri=True)
    assert scoring_pb2.ScoreRequest.FromString(asker.question(video)).uri == video.as_uri()


@pytest.mark.parametrize(
    "verdict",
    [scoring_pb2.Verdict(cached=True), scoring_pb2.Verdict(timings=[scoring_pb2.StageTiming(stage="shared")])],
    ids=["cached", "shared"],
)
async def test_a_verdict_that_cost_nothing_measures_nothing(
    scripted: Scripted, address: str, video: Path, verdict: scoring_pb2.Verdict
) -> None:
    scripted.answer = scoring_pb2.ScoreResponse(verdict=verdict).SerializeToString()
    async with WildgateAsker(address, ()) as asker:
        with pytest.raises(PeerFailed, match="cache"):
            await asker.ask(asker.question(video))


async def test_a_refusal_is_called_by_its_status(address: str, video: Path) -> None:
    async with WildgateAsker(address, ()) as asker:
        with pytest.raises(PeerFailed, match="RESOURCE_EXHAUSTED: full"):
            await asker.ask(asker.question(video))


async def test_triton_is_asked_with_the_whole_file(scripted: Scripted, address: str, video: Path) -> None:
    found = np.zeros((1, 2, 1, 6), np.float32)
    found[0, 1, 0] = [0.25, 0.5, 0.75, 1, 0.5, 4]
    response = service_pb2.ModelInferResponse(raw_output_contents=[np.array([0.0, 2.0]).tobytes(), found.tobytes()])
    response.outputs.add(name="TIMES_S", datatype="FP64", shape=[2])
    response.outputs.add(name="DETECTIONS", datatype="FP32", shape=found.shape)
    scripted.answer = response.SerializeToString()
    async with TritonAsker(address) as asker:
        answer = await asker.ask(asker.question(video))
    assert answer == {"times_s": [0.0, 2.0], "detections": [[1, 0.25, 0.5, 0.75, 1.0, 0.5, 4]]}
    request = service_pb2.ModelInferRequest.FromString(scripted.asked[0][1])
    assert request.model_name == "whole_video"
    assert request.inputs[0].shape == [7]
    assert list(request.raw_input_contents) == [b"\x00\xffvideo"]
