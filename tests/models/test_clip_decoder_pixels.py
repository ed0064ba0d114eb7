"""The pictures that clip_decoder makes: letterbox, rotation, colours, and equality with a full decode."""

from __future__ import annotations

import dataclasses
import io
from types import ModuleType

import av
import numpy as np
import pytest
from clips import ClipSpec, cut_clip, make_clip, picture
from triton_seam import load_model

from wildgate_server.inference.detections import Letterbox as GatewayLetterbox

SIDE, GREY = 320, 114


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return load_model("clip_decoder")


@pytest.fixture
def scaler(module: ModuleType):
    return module.FrameScaler(SIDE, GREY)


def frame_of(rgb: np.ndarray, pix_fmt: str = "yuv444p") -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24").reformat(format=pix_fmt)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (320, 320, (320, 320, 0, 0)),
        (720, 1280, (180, 320, 70, 0)),
        (1920, 1080, (320, 180, 0, 70)),
        (176, 144, (320, 262, 0, 29)),
        (641, 361, (320, 180, 0, 70)),
        (333, 1000, (107, 320, 106, 0)),
        (640, 321, (320, 160, 0, 80)),  # 160.5 is rounded to the even number.
        (5000, 3, (320, 1, 0, 159)),  # Never thinner than a pixel.
    ],
)
def test_letterbox(module: ModuleType, width: int, height: int, expected: tuple[int, ...]) -> None:
    box = module.Letterbox.of(width, height, SIDE)
    assert (box.width, box.height, box.left, box.top) == expected


def test_the_gateway_undoes_the_very_letterbox_that_the_decoder_made(module: ModuleType) -> None:
    rng = np.random.default_rng(5)
    for width, height in rng.integers(1, 5000, (500, 2)).tolist():
        for rotation in (0, 90, 180, 270):
            made = module.Letterbox.of(*((width, height) if rotation % 180 == 0 else (height, width)), SIDE)
            undone = GatewayLetterbox.of(width, height, rotation, SIDE)
            assert (undone.width, undone.height, undone.left, undone.top) == (
                made.width,
                made.height,
                made.left,
                made.top,
            ), (width, height, rotation)


@pytest.mark.parametrize(("width", "height"), [(720, 1280), (1280, 720), (176, 144), (333, 1000), (5000, 3)])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_bars_are_grey_and_the_picture_fills_the_rest(
    module: ModuleType, scaler, width: int, height: int, rotation: int
) -> None:
    white = frame_of(np.full((height, width, 3), 255, np.uint8))
    square = scaler.square(white, rotation)
    shown = (width, height) if rotation % 180 == 0 else (height, width)
    box = module.Letterbox.of(*shown, SIDE)
    inside = np.zeros((SIDE, SIDE), bool)
    inside[box.top : box.top + box.height, box.left : box.left + box.width] = True
    assert (square[inside] >= 254).all()
    assert (square[~inside] == GREY).all()


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_turns_the_stored_picture_counter_clockwise(scaler, rotation: int) -> None:
    stored = picture(3, 640, 360)
    turned = scaler.square(frame_of(stored), rotation)
    expected = scaler.square(frame_of(np.rot90(stored, rotation // 90)), 0)
    difference = np.abs(turned.astype(int) - expected.astype(int))
    assert difference.mean() < 0.5, "turning the small picture is turning the large one"


# ITU-T H.273: the luma coefficients Kr and Kb of the matrices, by AVColorSpace.
MATRICES = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
MATRICES |= {2: MATRICES[5], 8: MATRICES[5], 14: MATRICES[5]}  # Unspecified, and what swscale has no table for.


def rgb_of(y: int, cb: int, cr: int, matrix: tuple[float, float], full_range: bool) -> np.ndarray:
    kr, kb = matrix
    luma = y / 255 if full_range else (y - 16) / 219
    blue, red = ((value - 128) / (255 if full_range else 224) for value in (cb, cr))
    r = luma + 2 * (1 - kr) * red
    b = luma + 2 * (1 - kb) * blue
    g = (luma - kr * r - kb * b) / (1 - kr - kb)
    return np.clip(np.round(255 * np.array([r, g, b])), 0, 255)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("colorspace", MATRICES)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p10le"])
def test_colour_matrix_range_and_depth(scaler, pix_fmt: str, colorspace: int, full_range: bool) -> None:
    y, cb, cr = 130, 90, 160
    frame = av.VideoFrame(333, 201, pix_fmt)
    for plane, value in zip(frame.planes, (y, cb, cr), strict=True):
        if "10" in pix_fmt:
            plane.update(np.full(plane.buffer_size // 2, value * 4, "<u2").tobytes())
        else:
            plane.update(bytes([value]) * plane.buffer_size)
    frame.colorspace = colorspace
    frame.color_range = 2 if full_range else 1
    square = scaler.square(frame, 0)
    expected = rgb_of(y, cb, cr, MATRICES[colorspace], full_range)
    assert np.abs(square[SIDE // 2, SIDE // 2] - expected).max() <= 3


def test_range_and_matrix_are_taken_from_each_frame(scaler) -> None:
    """The scaler keeps swscale's tables: they must follow what changes between frames."""
    results = []
    for full_range in (1, 2, 1):
        frame = av.VideoFrame(64, 64, "yuv420p")
        for plane, value in zip(frame.planes, (50, 128, 128), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        frame.color_range = full_range
        results.append(int(scaler.square(frame, 0)[160, 160, 0]))
    assert results[0] == results[2] != results[1] == 50


SPECS = [
    ClipSpec(b_frames=3, keyframe_interval=12, seconds=3),
    ClipSpec(b_frames=3, keyframe_interval=12, seconds=3, pix_fmt="yuv420p10le"),
    ClipSpec(b_frames=2, pix_fmt="yuv444p", width=321 - 1, height=182),
    ClipSpec(codec="libvpx-vp9", container="webm", keyframe_interval=8, seconds=3),
    ClipSpec(codec="libx265", keyframe_interval=12, options={"x265-params": "log-level=none:keyint=12:open-gop=1"}),
    ClipSpec(codec="mpeg4", b_frames=2, keyframe_interval=12),
    ClipSpec(codec="mpeg2video", b_frames=2, keyframe_interval=12, container="mpegts"),
    ClipSpec(codec="mjpeg", pix_fmt="yuvj420p", container="mov"),
]


@pytest.mark.parametrize("b_frames", [0, 1, 3])
def test_what_is_skipped_on_the_way_to_a_frame_changes_no_pixel(module: ModuleType, scaler, b_frames: int) -> None:
    video = make_clip(ClipSpec(b_frames=b_frames, keyframe_interval=250, seconds=3, options={"preset": "slow"}))
    with av.open(io.BytesIO(video)) as container:
        full = [scaler.square(frame, 0) for frame in container.decode(video=0)]
    for number in range(0, len(full), 7):
        [square] = module.decode_window(video, [number], 0, scaler, 1 << 24)
        np.testing.assert_array_equal(square, full[number])


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.codec}-{spec.pix_fmt}")
def test_a_cut_clip_gives_the_pixels_of_a_full_decode(module: ModuleType, scaler, spec: ClipSpec) -> None:
    video = make_clip(spec)
    with av.open(io.BytesIO(video)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    with av.open(io.BytesIO(video)) as container:
        full = {frame.pts: scaler.square(frame, 0) for frame in container.decode(video=0)}
    keys = [place for place, packet in enumerate(packets) if packet.is_keyframe]
    last = packets[keys[-1]]
    # Every keyframe, and two packets after the last one: a run with a gap before it.
    kept = {*keys, keys[-1] + 1, keys[-1] + 2} & set(range(len(packets)))
    clip = cut_clip(video, lambda place, _: place in kept)
    times = sorted(packets[place].pts for place in kept)
    wanted = [rank for rank, pts in enumerate(times) if pts >= last.pts or pts in {packets[key].pts for key in keys}]
    frames = module.decode_window(clip, wanted, 0, scaler, 1 << 24)
    assert len(wanted) > 1
    for rank, square in zip(wanted, frames, strict=True):
        np.testing.assert_array_equal(square, full[times[rank]])


LARGE = ClipSpec(width=1280, height=720, keyframe_interval=5, seconds=2, options={"crf": "32"})


def full_decode(video: bytes, scaler) -> tuple[list[av.Packet], list[np.ndarray]]:
    with av.open(io.BytesIO(video)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    with av.open(io.BytesIO(video)) as container:
        return packets, [scaler.square(frame, 0) for frame in container.decode(video=0)]


def test_block_edges_of_large_keyframes_are_not_smoothed(module: ModuleType, scaler) -> None:
    video = make_clip(LARGE)
    packets, full = full_decode(video, scaler)
    keys = [place for place, packet in enumerate(packets) if packet.is_keyframe]
    frames = module.decode_window(cut_clip(video, lambda place, _: place in keys), range(len(keys)), 0, scaler, 1 << 24)
    difference = np.abs(np.stack([full[key] for key in keys]).astype(int) - frames)
    assert len(keys) == 4
    assert 0 < difference.mean() < 0.5


def test_a_picture_that_others_are_made_from_is_smoothed(module: ModuleType, scaler) -> None:
    _, full = full_decode(video := make_clip(LARGE), scaler)
    frames = module.decode_window(video, [0, 3, 5], 0, scaler, 1 << 24)
    np.testing.assert_array_equal(frames, [full[0], full[3], full[5]])


def test_a_picture_that_is_hardly_made_smaller_is_smoothed(module: ModuleType, scaler) -> None:
    _, full = full_decode(video := make_clip(dataclasses.replace(LARGE, width=640, height=360)), scaler)
    [frame] = module.decode_window(video, [5], 0, scaler, 1 << 24)
    np.testing.assert_array_equal(frame, full[5])
