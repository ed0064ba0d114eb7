"""clip_decoder of profile `rtx` on the CPU with VP9: with the stand-in for Triton, and in a real one."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest
import pytest_asyncio
from clips import make_clip
from decoded_rows import Row, by_cpu_decoder, decoded, numbers, padded, vp9
from decoder_triton import ask, decoder_triton
from triton_seam import InferenceRequest, InferenceResponse, load_model, model_config
from tritonclient.grpc.aio import InferenceServerClient

GOOD = make_clip(vp9())
OTHER = make_clip(vp9(360, 640, seconds=1.5))
H264 = make_clip()
GARBAGE = np.random.default_rng(7).bytes(5000)
FIRST_EIGHT = list(range(8))


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return load_model("clip_decoder", "rtx_model.py")


def on_cpu(**changes: str) -> str:
    config = json.loads(model_config("clip_decoder", "rtx"))
    parameters = {"device": "cpu", "num_threads": "2", **changes}
    config["parameters"] |= {name: {"string_value": value} for name, value in parameters.items()}
    return json.dumps(config)


@pytest.fixture(scope="module")
def model(module: ModuleType):
    instance = module.TritonPythonModel()
    instance.initialize({"model_config": on_cpu(), "model_instance_device_id": "0"})
    return instance


def request(*rows: Row) -> InferenceRequest:
    return InferenceRequest(padded(rows))


def assert_shows(response: InferenceResponse, *rows: Row) -> None:
    frames = response.array()
    assert len(frames) == len(rows)
    np.testing.assert_array_equal(response.array("PICTURE_SIZE"), [decoded(row).picture_size for row in rows])
    assert (response.array("SOUND") == 1).all()
    for found, row in zip(frames, rows, strict=True):
        assert np.abs(found.astype(int) - by_cpu_decoder(row)).mean() < 1


def test_each_request_gets_its_own_rows_from_one_run(model) -> None:
    rows = [
        Row(GOOD),
        Row(OTHER, (7, 6, 5, 4, 3, 2, 1, 0)),
        Row(GOOD, (9,) * 8, (90, 1, 1, 1)),
        Row(OTHER, display=(270, 0, 4, 3)),
    ]
    responses = model.execute([request(rows[0]), request(rows[1], rows[2]), request(rows[3])])
    assert_shows(responses[0], rows[0])
    assert_shows(responses[1], rows[1], rows[2])
    assert_shows(responses[2], rows[3])


def test_answers_outlive_the_next_run(model) -> None:
    [first] = model.execute([request(Row(GOOD))])
    kept = first.array().copy()
    model.execute([request(Row(OTHER))])
    np.testing.assert_array_equal(first.array(), kept)


@pytest.mark.parametrize(
    ("bad", "code", "message"),
    [
        (Row(GARBAGE), "INVALID_ARG", "the clip cannot be opened"),
        (Row(b"\0" * 100), "INVALID_ARG", "the clip cannot be opened"),
        (Row(b""), "INVALID_ARG", "the clip cannot be opened"),
        (Row(b"ffconcat version 1.0\nfile clip.mp4\n"), "INVALID_ARG", "the clip cannot be opened"),
        (Row(GOOD[: len(GOOD) // 2]), "INVALID_ARG", "the clip cannot be opened"),
        (Row(GOOD, (20,) * 8), "INVALID_ARG", "FRAME_INDEX asks for frame 20 of a clip of 20 frames"),
        (Row(GOOD, (-1,) * 8), "INVALID_ARG", "FRAME_INDEX asks for frame -1 of a clip of 20 frames"),
        (Row(GOOD, display=(45, 0, 1, 1)), "INVALID_ARG", "DISPLAY has the rotation 45, not 0, 90, 180 or 270"),
        (Row(GOOD.replace(b"vp09", b"zzzz")), "UNSUPPORTED", "there is no decoder for the clip's codec"),
    ],
    ids=["garbage", "zeros", "empty", "playlist", "cut", "no such frame", "negative", "display", "codec"],
)
def test_a_clip_at_fault_fails_its_own_request_only(model, bad: Row, code: str, message: str) -> None:
    """With the codes and words of `model.py` (test_clip_decoder)."""
    good = Row(GOOD)
    before, refused, after = model.execute([request(good), request(bad), request(good)])
    assert refused.error.code == code
    assert message in str(refused.error)
    for response in (before, after):
        assert_shows(response, good)


def broken_at(clip: bytes, place: int) -> bytes:
    with av.open(io.BytesIO(clip)) as container:
        packet = [bytes(packet) for packet in container.demux(video=0) if packet.size][place]
    at = clip.index(packet)
    return clip[:at] + b"\xff" * len(packet) + clip[at + len(packet) :]


def test_of_a_clip_with_a_frame_that_does_not_decode_the_cpu_decoder_tells_which(model) -> None:
    broken = broken_at(make_clip(vp9(keyframe_interval=1)), 2)
    [response] = model.execute([request(Row(broken))])
    assert response.array("SOUND").tolist() == [[1, 1, 0, 1, 1, 1, 1, 1]]
    np.testing.assert_array_equal(response.array(), decoded(Row(broken)).frames[None])


def test_a_clip_that_only_the_cpu_decoder_takes_is_decoded_with_a_warning(model, module: ModuleType) -> None:
    before = len(module.pb_utils.Logger.warnings)
    good, rescued = model.execute([request(Row(GOOD)), request(Row(H264))])
    assert_shows(good, Row(GOOD))
    assert numbers(rescued.array()[0], 320, 240) == FIRST_EIGHT
    assert "decoded on the CPU what DALI could not" in module.pb_utils.Logger.warnings[before]


def test_a_picture_past_the_limit_is_not_decoded(module: ModuleType) -> None:
    limited = module.TritonPythonModel()
    config = on_cpu(max_frame_pixels=str(320 * 240 - 1))
    limited.initialize({"model_config": config, "model_instance_device_id": "0"})
    [response] = limited.execute([request(Row(H264))])
    assert not response.array("SOUND").any()


def test_a_surprise_is_internal_and_logged(model, module: ModuleType) -> None:
    surprising = InferenceRequest({"CLIP": np.zeros((1, 4), np.uint8)})
    failed, fine = model.execute([surprising, request(Row(GOOD))])
    assert (failed.error.code, str(failed.error)) == ("INTERNAL", "clip_decoder failed: AttributeError")
    assert "Traceback" in module.pb_utils.Logger.errors[-1]
    assert_shows(fine, Row(GOOD))


def test_a_device_that_is_none(module: ModuleType) -> None:
    with pytest.raises(ValueError, match="config parameter `device` is 'tpu', not gpu or cpu"):
        module.TritonPythonModel().initialize({"model_config": on_cpu(device="tpu"), "model_instance_device_id": "0"})


def test_rows_on_a_gpu_are_cut_out_without_a_copy(module: ModuleType) -> None:
    class Batch:
        __cuda_array_interface__ = {"shape": (5, 8, 4, 4, 3), "typestr": "|u1", "data": (1000, False), "version": 2}  # noqa: RUF012

    rows = module._DeviceRows(Batch(), 2, 3).__cuda_array_interface__
    assert rows["shape"] == (3, 8, 4, 4, 3)
    assert rows["data"] == (1000 + 2 * 8 * 4 * 4 * 3, False)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def triton(
    model_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[InferenceServerClient]:
    async with decoder_triton(model_repository, tmp_path_factory.mktemp("rtx"), "cpu") as client:
        yield client


@pytest.mark.triton
@pytest.mark.asyncio(loop_scope="module")
async def test_in_a_real_triton_the_frames_are_those_of_the_cpu_decoder(triton: InferenceServerClient) -> None:
    batches = [[Row(GOOD)], [Row(OTHER, display=(90, 0, 1, 1)), Row(GOOD, (3, 3, 9, 1, 0, 12, 19, 19))], [Row(OTHER)]]
    answers = await asyncio.gather(*(ask(triton, rows) for rows in batches))
    for frames, rows in zip(answers, batches, strict=True):
        assert frames.shape == (len(rows), 8, 320, 320, 3)
        for found, row in zip(frames, rows, strict=True):
            assert np.abs(found.astype(int) - by_cpu_decoder(row)).mean() < 1


@pytest.mark.triton
@pytest.mark.asyncio(loop_scope="module")
async def test_in_a_real_triton_bad_clips_fail_alone(triton: InferenceServerClient) -> None:
    rows = [Row(GOOD), Row(GARBAGE), Row(GOOD, (99,) * 8), Row(GOOD.replace(b"vp09", b"zzzz")), Row(GOOD)]
    answers = await asyncio.gather(*(ask(triton, [row]) for row in rows), return_exceptions=True)
    good, garbage, index, codec, again = answers
    assert garbage.status() == "StatusCode.INVALID_ARGUMENT"
    assert "the clip cannot be opened" in garbage.message()
    assert index.status() == "StatusCode.INVALID_ARGUMENT"
    assert codec.status() == "StatusCode.UNIMPLEMENTED"
    for frames in (good, again):
        assert numbers(frames[0], 640, 360) == FIRST_EIGHT


@pytest.mark.triton
@pytest.mark.asyncio(loop_scope="module")
async def test_in_a_real_triton_a_flood_of_garbage_leaves_the_decoder_alive(triton: InferenceServerClient) -> None:
    noise = np.random.default_rng(11)
    head = GOOD[: GOOD.index(b"mdat") + 8]
    bad = [Row(head + noise.bytes(20_000) + GOOD[GOOD.index(b"moov") - 4 :]) for _ in range(20)]
    bad += [Row(broken_at(GOOD, place)) for place in range(10)]
    answers = await asyncio.gather(*(ask(triton, [row]) for row in bad), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            assert answer.status() == "StatusCode.INVALID_ARGUMENT"
    frames = await ask(triton, [Row(GOOD)])
    assert numbers(frames[0], 640, 360) == FIRST_EIGHT
