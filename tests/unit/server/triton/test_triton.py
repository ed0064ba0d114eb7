"""What the gateway makes of Triton's answers, against a gRPC server that answers as Triton does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest
from event_loop import Clock
from tritonclient.grpc import service_pb2, service_pb2_grpc

from wildgate_server.errors import BackendUnavailable, DeadlineExceeded, RowRefused
from wildgate_server.media.sampled_video import Display
from wildgate_server.triton.client import BackendLost, ClipRow, DecoderRefused, TritonClient

ROWS = [ClipRow(b"clip", (0, 1), Display(90, True, (4, 3)))]
STUB_DIED = "Failed to process the request(s), message: Stub process 'clip_decoder_0_0' is not healthy."
WITHIN_S = 60.0


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Every model is ready; `refusals` are the statuses of models that do not answer, none does unless `answering`."""

    def __init__(self) -> None:
        self.refusals: dict[str, tuple[grpc.StatusCode, str]] = {}
        self.asked: list[str] = []
        self.inputs: dict[str, bytes] = {}
        self.answering = asyncio.Event()
        self.answering.set()
        self.reached = asyncio.Semaphore(0)
        self.answered = 0
        self.deadlines_s: list[float | None] = []

    async def ModelReady(self, request: Any, context: Any) -> Any:
        return service_pb2.ModelReadyResponse(ready=True)

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        self.asked.append(request.model_name)
        self.deadlines_s.append(context.time_remaining())
        self.reached.release()
        await self.answering.wait()
        self.answered += 1
        if refusal := self.refusals.get(request.model_name):
            await context.abort(*refusal)
        self.inputs = dict(zip((tensor.name for tensor in request.inputs), request.raw_input_contents, strict=True))
        response = service_pb2.ModelInferResponse(model_name=request.model_name, model_version="3")
        for output in request.outputs:
            kind, numbers, first = {
                "FRAMES": ("UINT8", np.uint8, 4),
                "DETECTIONS": ("FP32", np.float32, 4),
                "SOUND": ("UINT8", np.uint8, 0),
                "PICTURE_SIZE": ("INT32", np.int32, 319),
                "FINGERPRINT": ("UINT8", np.uint8, 9),
                "FINGERPRINT_QUALITY": ("INT32", np.int32, 98),
                "COST": ("FP32", np.float32, 0),
            }[output.name]
            response.outputs.add(name=output.name, datatype=kind, shape=[1, 2])
            response.raw_output_contents.append(np.array([[first, first + 1]], numbers).tobytes())
        return response


@asynccontextmanager
async def serving(triton: FakeTriton) -> AsyncIterator[str]:
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


@asynccontextmanager
async def asking(triton: FakeTriton, **options: Any) -> AsyncIterator[TritonClient]:
    async with serving(triton) as target, TritonClient(target, **options) as client:
        yield client


@pytest.fixture
def triton() -> FakeTriton:
    return FakeTriton()


async def refusal(client: TritonClient, model: str = "video_scorer") -> Exception:
    with pytest.raises((BackendUnavailable, DeadlineExceeded, RowRefused)) as raised:
        await client.detect(model, ROWS, WITHIN_S)
    return raised.value


async def test_an_answer_names_its_version(triton: FakeTriton) -> None:
    async with asking(triton) as client:
        answer = await client.detect("video_scorer", ROWS, WITHIN_S)
    assert answer.version == 3
    assert answer.detections.tolist() == [[4.0, 5.0]]
    assert answer.sound.tolist() == [[0, 1]]
    assert answer.picture_size.tolist() == [[319, 320]]
    assert np.frombuffer(triton.inputs["DISPLAY"], np.int32).tolist() == [90, 1, 4, 3]


@pytest.mark.parametrize(
    ("code", "kind", "unsupported"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, RowRefused, False),
        (grpc.StatusCode.UNIMPLEMENTED, RowRefused, True),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded, None),
        (grpc.StatusCode.INTERNAL, BackendUnavailable, None),
        (grpc.StatusCode.UNKNOWN, BackendUnavailable, None),
    ],
)
async def test_a_status_becomes_an_error_of_ours(
    triton: FakeTriton, code: grpc.StatusCode, kind: type[Exception], unsupported: bool | None
) -> None:
    triton.refusals["video_scorer"] = (code, "no")
    async with asking(triton) as client:
        error = await refusal(client)
    assert type(error) is kind
    assert getattr(error, "unsupported", None) is unsupported


@pytest.mark.parametrize("profile", ["gpu", "rtx"])
@pytest.mark.parametrize("model", ["video_scorer", "video_scorer_canary"])
async def test_unknown_is_the_gpu_decoder_s_refusal(triton: FakeTriton, profile: str, model: str) -> None:
    triton.refusals = dict.fromkeys(
        (model, "video_scorer_software", "video_scorer_software_canary"), (grpc.StatusCode.UNKNOWN, "DALI said no")
    )
    async with asking(triton, profile=profile) as client:
        assert type(await refusal(client, model)) is DecoderRefused
        for software in ("video_scorer_software", "video_scorer_software_canary"):
            assert type(await refusal(client, software)) is BackendUnavailable


async def test_a_dead_process_is_no_refusal(triton: FakeTriton) -> None:
    triton.refusals["video_scorer"] = (grpc.StatusCode.UNKNOWN, STUB_DIED)
    async with asking(triton, profile="rtx") as client:
        assert type(await refusal(client)) is BackendLost


@pytest.mark.parametrize("left_s", [-5.0, 0.0])
async def test_triton_is_not_asked_when_the_deadline_is_there(triton: FakeTriton, left_s: float) -> None:
    async with asking(triton) as client:
        with pytest.raises(DeadlineExceeded):
            await client.detect("video_scorer", ROWS, left_s)
    assert triton.asked == []


async def test_a_question_is_never_taken_back_and_has_no_deadline_in_triton(triton: FakeTriton) -> None:
    triton.answering.clear()
    async with asking(triton) as client:
        leaving = asyncio.create_task(client.detect("video_scorer", ROWS, WITHIN_S))
        await triton.reached.acquire()
        leaving.cancel()
        with pytest.raises(DeadlineExceeded):
            await client.detect("video_scorer", ROWS, 0.05)
        await asyncio.wait({leaving})
        assert leaving.cancelled()
        assert client.asked == 2
        triton.answering.set()
    assert triton.answered == 2
    assert all(left_s is None for left_s in triton.deadlines_s)


async def test_what_is_lost_is_asked_again_of_the_server_that_takes_its_place(triton: FakeTriton) -> None:
    fresh = FakeTriton()
    async with asking(triton) as client, serving(fresh) as target:
        client.outage.begin("tritonserver")
        asked = asyncio.create_task(client.frames("clip_decoder", ROWS, WITHIN_S))
        await asyncio.sleep(0)
        await client.moved(target)
        assert not asked.done()
        client.outage.end("tritonserver")
        assert (await asked).tolist() == [[4, 5]]
        assert (triton.asked, fresh.asked) == ([], ["clip_decoder"])

        fresh.refusals["clip_decoder"] = (grpc.StatusCode.UNAVAILABLE, "Socket closed")
        with pytest.raises(BackendLost):
            await client.frames("clip_decoder", ROWS, WITHIN_S)
        assert fresh.asked == ["clip_decoder"] * 4
        assert client.failures == 3


async def test_an_outage_that_lasts_is_told_at_once(triton: FakeTriton) -> None:
    clock = Clock()
    async with asking(triton, clock=clock) as client:
        client.outage.begin("tritonserver")
        clock.now += 3600
        with pytest.raises(BackendUnavailable, match=r"away \(tritonserver, for 3600 s\)"):
            await client.detect("video_scorer", ROWS, WITHIN_S)


async def test_frames_that_the_gpu_does_not_decode_come_from_the_cpu(triton: FakeTriton) -> None:
    triton.refusals["clip_decoder"] = (grpc.StatusCode.UNKNOWN, "DALI said no")
    async with asking(triton, profile="gpu") as client:
        assert (await client.frames("clip_decoder", ROWS, WITHIN_S)).tolist() == [[4, 5]]
    assert triton.asked == ["clip_decoder", "clip_decoder_software"]
    async with asking(triton) as client:
        with pytest.raises(BackendUnavailable):
            await client.frames("clip_decoder", ROWS, WITHIN_S)


async def test_an_external_triton_is_believed_again_after_a_while(triton: FakeTriton) -> None:
    triton.refusals["video_scorer"] = (grpc.StatusCode.INTERNAL, STUB_DIED)
    clock = Clock()
    async with asking(triton, clock=clock) as client:
        assert await client.ready("video_scorer")
        await refusal(client)
        clock.now += 4.9
        assert not await client.ready("video_scorer")
        clock.now += 0.2
        assert await client.ready("video_scorer"), "without traffic, no answer would ever say so"


async def test_an_answer_proves_an_external_triton_well(triton: FakeTriton) -> None:
    triton.refusals["video_scorer"] = (grpc.StatusCode.INTERNAL, STUB_DIED)
    async with asking(triton, clock=Clock()) as client:
        await refusal(client)
        assert not await client.ready("video_scorer")
        triton.refusals.clear()
        await client.detect("video_scorer", ROWS, WITHIN_S)
        assert await client.ready("video_scorer")


async def test_where_there_is_a_healer_it_alone_has_the_word(triton: FakeTriton) -> None:
    triton.refusals["video_scorer"] = (grpc.StatusCode.INTERNAL, STUB_DIED)
    dead: list[str] = []
    clock = Clock()
    async with asking(triton, on_dead=dead.append, clock=clock) as client:
        await refusal(client)
        clock.now += 3600
        assert not await client.ready("video_scorer")
        assert dead == ["clip_decoder"]
        client.healed("clip_decoder")
        assert await client.ready("video_scorer")
