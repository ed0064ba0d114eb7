"""The DALI pipeline of both GPU profiles, run on the CPU with VP9, against the CPU decoder."""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from checkout import ROOT
from clips import ClipSpec, cut_clip, make_clip
from decoded_rows import GREY, SIDE, Row, by_cpu_decoder, decoded, letterbox, numbers, padded, pixels, vp9
from google.protobuf import text_format
from nvidia.dali import types
from nvidia.dali._utils.autoserialize import _discover_autoserialize
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from wildgate_server.media.container import open_video
from wildgate_server.media.sampled_video import VideoLimits
from wildgate_server.sampling.offline import default_limits, sample_content
from wildgate_server.sampling.plan import SamplingConfig

CLIP_DECODER = ROOT / "model_repository" / "clip_decoder"
LIMITS = VideoLimits(max_bytes=1 << 24, max_pixels=1 << 22, max_seconds=60.0)


def load_pipeline(model: Path = CLIP_DECODER) -> ModuleType:
    """`dali.py` of a model, loaded as the DALI backend does."""
    spec = importlib.util.spec_from_file_location("autoserialize_mod", model / "1" / "dali.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return load_pipeline()


@pytest.fixture(scope="module")
def pipeline(module: ModuleType):
    """With the static executor, as the DALI backend runs it; `test_rtx_clip_decoder` has the dynamic one."""
    built = module.frames_pipeline(device="cpu", device_id=None, num_threads=2, exec_dynamic=False)
    built.build()
    return built


def run(pipeline, tensors: Sequence[dict[str, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Frames and the displayed size of each."""
    frames, sound, sizes, _ = pipeline.run(**{name: [row[name] for row in tensors] for name in tensors[0]})
    assert sound.as_array().shape == (len(tensors), len(tensors[0]["FRAME_INDEX"]))
    assert (sound.as_array() == 1).all()
    return frames.as_array(), sizes.as_array()


def decode(pipeline, *rows: Row) -> np.ndarray:
    return run(pipeline, [pixels(row) for row in rows])[0]


def distance(found: np.ndarray, wanted: np.ndarray) -> float:
    """Mean difference in grey levels."""
    assert found.shape == wanted.shape
    return float(np.abs(found.astype(int) - wanted).mean())


LANDSCAPE, PORTRAIT, SMALL = vp9(), vp9(360, 640), vp9(176, 144)
RUN = tuple(range(8))
ROWS = {
    "landscape": (LANDSCAPE,),
    "portrait": (PORTRAIT,),
    "small": (SMALL,),
    "full-hd": (vp9(1920, 1080, seconds=0.8),),
    "matroska": (replace(LANDSCAPE, container="webm"),),
    **{f"landscape-{degrees}": (LANDSCAPE, RUN, (degrees, degrees // 180, 1, 1)) for degrees in (90, 180, 270)},
    **{f"portrait-{degrees}": (PORTRAIT, RUN, (degrees, degrees // 180, 1, 1)) for degrees in (90, 180, 270)},
    "mirrored": (LANDSCAPE, RUN, (0, 1, 1, 1)),
    "mirrored-and-turned": (PORTRAIT, RUN, (90, 1, 1, 1)),
    "wide pixels": (PORTRAIT, RUN, (0, 0, 40, 11)),
    "high pixels": (LANDSCAPE, RUN, (270, 1, 11, 40)),
    "repeats": (LANDSCAPE, (4, 9, 9, 9, 9, 9, 9, 9)),
    "sparse": (vp9(seconds=4, keyframe_interval=100), (0, 5, 11, 12, 25, 31, 39, 39)),
}


def row(spec: ClipSpec, *rest: tuple[int, ...]) -> Row:
    return Row(make_clip(spec), *rest)


@pytest.mark.parametrize("name", ROWS)
def test_pictures_and_their_size_are_those_of_the_cpu_decoder(pipeline, name: str) -> None:
    sent = row(*ROWS[name])
    wanted = by_cpu_decoder(sent)
    frames, sizes = run(pipeline, [pixels(sent)])
    np.testing.assert_array_equal(sizes[0], decoded(sent).picture_size)
    assert distance(frames[0], wanted) < 1
    moved = np.roll(wanted, 1, axis=1)
    assert distance(moved, wanted) > 2, "the picture must have enough detail to show a shift by one pixel"


def test_rows_of_different_length_and_size_share_a_batch(pipeline) -> None:
    rows = [row(*parts) for parts in list(ROWS.values())[-16:]]
    for found, each in zip(decode(pipeline, *rows), rows, strict=True):
        assert distance(found, by_cpu_decoder(each)) < 1


def test_zeros_after_a_clip_do_no_harm(pipeline) -> None:
    rows = [row(SMALL), row(LANDSCAPE), row(PORTRAIT, RUN[::-1])]
    request = padded(rows)
    tensors = [{name: request[name][place] for name in request} for place in range(len(rows))]
    for found, each in zip(run(pipeline, tensors)[0], rows, strict=True):
        assert distance(found, by_cpu_decoder(each)) < 1


def test_frame_index_counts_in_presentation_order_and_repeats(pipeline) -> None:
    wanted = (5, 3, 3, 19, 0, 5, 12, 12)
    assert numbers(decode(pipeline, row(LANDSCAPE, wanted))[0], 640, 360) == list(wanted)


def test_runs_with_gaps_between_them(pipeline) -> None:
    """What the sampler sends: runs from keyframes up to wanted frames, the rest left out."""
    video = make_clip(vp9(seconds=6))
    clip = cut_clip(video, lambda place, _: place in {0, *range(20, 24), *range(40, 55)}, "mp4")
    sent = Row(clip, (0, 1, 4, 5, 7, 18, 19, 19))
    assert numbers(decode(pipeline, sent)[0], 640, 360) == [0, 20, 23, 40 % 28, 42 % 28, 53 % 28, 54 % 28, 54 % 28]


@pytest.mark.parametrize("max_gap_s", [0.3, 1.0])
def test_windows_of_the_sampler(pipeline, max_gap_s: float) -> None:
    video = sample_content(make_clip(vp9(seconds=4)), SamplingConfig(8, max_gap_s), LIMITS)
    rows = [Row(window.clip, window.frame_index, video.default_track.display.row) for window in video.windows]
    for found, each in zip(decode(pipeline, *rows), rows, strict=True):
        assert distance(found, by_cpu_decoder(each)) < 1


@pytest.mark.parametrize(
    ("width", "height"),
    [(640, 360), (360, 640), (320, 320), (720, 576), (1280, 714), (334, 1000), (1366, 768), (176, 144), (98, 330)],
)
def test_bars_lie_where_the_cpu_decoder_has_them(pipeline, width: int, height: int) -> None:
    white = replace(vp9(width, height, seconds=0.2), paint=_white)
    rotations = (0, 90, 180, 270)
    rows = [row(white, (0,) * 8, (rotation, 0, 1, 1)) for rotation in rotations]
    for rotation, frames in zip(rotations, decode(pipeline, *rows), strict=True):
        box = letterbox(width, height) if rotation % 180 == 0 else letterbox(height, width)
        inside = np.zeros((SIDE, SIDE), bool)
        inside[box.top : box.top + box.height, box.left : box.left + box.width] = True
        assert (frames[:, inside] >= 250).all(), rotation
        assert (frames[:, ~inside] == GREY).all(), rotation


def _white(_: int, width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), 255, np.uint8)


def test_bt709_is_put_right_where_the_gateway_marked_it(pipeline) -> None:
    content = make_clip(vp9(options={"colorspace": "bt709"}))
    video = sample_content(content, SamplingConfig(8, 0.1, max_frames=8), LIMITS)
    [window] = video.windows
    sent = Row(window.clip, window.frame_index)
    wanted = by_cpu_decoder(sent)
    marked = distance(decode(pipeline, sent)[0], wanted)
    unmarked = Row(window.clip.replace(b"wg\0\1", b"\0\0\2\0", 1), window.frame_index)
    assert distance(by_cpu_decoder(unmarked), wanted) == 0, "the mark is for DALI alone"
    assert marked < 0.5
    assert distance(decode(pipeline, unmarked)[0], wanted) > 3 * marked


@pytest.mark.parametrize(
    "bad",
    [
        lambda good: Row(np.random.default_rng(7).bytes(5000)),
        lambda good: Row(b"\0" * 100),
        lambda good: Row(b"\0" * 4),
        lambda good: Row(good[: len(good) // 2]),
        lambda good: Row(good, (20,) * 8),
        lambda good: Row(good, (-1,) * 8),
    ],
    ids=["garbage", "zeros", "short", "cut", "no such frame", "negative"],
)
def test_a_bad_row_fails_the_batch_and_nothing_after_it(module: ModuleType, bad: Callable[[bytes], Row]) -> None:
    """So the gateway tries a failed batch row by row."""
    pipeline = module.frames_pipeline(device="cpu", device_id=None, num_threads=2)
    pipeline.build()
    with pytest.raises(RuntimeError):
        decode(pipeline, row(LANDSCAPE), bad(make_clip(LANDSCAPE)))


def test_sizes_come_from_the_rendered_file(tmp_path: Path) -> None:
    model = tmp_path / "clip_decoder"
    (model / "1").mkdir(parents=True)
    shutil.copy(CLIP_DECODER / "1" / "dali.py", model / "1")
    (model / "frames.json").write_text(
        json.dumps({"frame_side_px": 96, "letterbox_value": 7, "max_batch_size": 3}), encoding="utf-8"
    )
    pipeline = load_pipeline(model).frames_pipeline(device="cpu", device_id=None)
    pipeline.build()
    assert pipeline.max_batch_size == 3
    [frames] = decode(pipeline, row(LANDSCAPE))
    assert frames.shape == (8, 96, 96, 3)
    assert (frames[:, :21] == 7).all(), "the upper bar"


def test_the_dali_backend_finds_one_pipeline_with_the_tensors_of_its_config(module: ModuleType, pipeline) -> None:
    sys.modules["autoserialize_mod"] = module
    try:
        assert [found.__name__ for found in _discover_autoserialize(module, visited=[])] == ["frames_pipeline"]
    finally:
        del sys.modules["autoserialize_mod"]
    graph = module.frames_pipeline(device_id=None)  # The GPU's graph; with a device id it wants a driver.
    serialized = graph.serialize()
    config = text_format.Parse((CLIP_DECODER / "configs" / "gpu.pbtxt").read_text(), ModelConfig())
    for tensor in config.input:
        assert tensor.name.encode() in serialized
    assert [(kind, ndim) for kind, ndim in zip(pipeline.output_dtype(), pipeline.output_ndim(), strict=True)] == [
        (
            getattr(types, DataType.Name(tensor.data_type).removeprefix("TYPE_").replace("FP32", "FLOAT")),
            len(tensor.dims),
        )
        for tensor in config.output
    ]
    assert graph.max_batch_size == config.max_batch_size


def test_the_gateway_marks_only_what_needs_it() -> None:
    unmarked = b"\0\0\2\0"
    for options, mark in (
        ({"colorspace": "bt709"}, b"wg\0\1"),
        ({"colorspace": "smpte170m"}, unmarked),
        ({}, unmarked),
    ):
        content = make_clip(vp9(176, 144, seconds=0.5, options=options))
        with open_video(io.BytesIO(content), default_limits(1 << 24)) as [video]:
            assert video.clip([0]).data[12:16] == mark
