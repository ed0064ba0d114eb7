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

from wildgate_server.media.letterbox import Letterbox as GatewayLetterbox

SIDE, GREY = 320, 114
UPRIGHT = (0, 0, 1, 1)


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
        made = module.Letterbox.of(width, height, SIDE)
        undone = GatewayLetterbox.of(width, height, SIDE)
        assert (undone.width, undone.height, undone.left, undone.top) == (
            made.width,
            made.height,
            made.left,
            made.top,
        ), (width, height)


@pytest.mark.parametrize(("width", "height"), [(720, 1280), (1280, 720), (176, 144), (333, 1000), (5000, 3)])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_bars_are_grey_and_the_picture_fills_the_rest(
    module: ModuleType, scaler, width: int, height: int, rotation: int
) -> None:
    white = frame_of(np.full((height, width, 3), 255, np.uint8))
    square = scaler.square(white, module.Display(rotation))
    shown = (width, height) if rotation % 180 == 0 else (height, width)
    box = module.Letterbox.of(*shown, SIDE)
    inside = np.zeros((SIDE, SIDE), bool)
    inside[box.top : box.top + box.height, box.left : box.left + box.width] = True
    assert (square[inside] >= 254).all()
    assert (square[~inside] == GREY).all()


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_picture_is_mirrored_and_then_turned_counter_clockwise(
    module: ModuleType, scaler, rotation: int, mirrored: bool
) -> None:
    stored = picture(3, 640, 360)
    turned = scaler.square(frame_of(stored), module.Display(rotation, mirrored))
    shown = np.rot90(stored[:, ::-1] if mirrored else stored, rotation // 90)
    expected = scaler.square(frame_of(shown), module.Display())
    difference = np.abs(turned.astype(int) - expected.astype(int))
    assert difference.mean() < 0.5, "turning the small picture is turning the large one"


@pytest.mark.parametrize(
    ("aspect", "stretched"),
    [((1, 1), (640, 360)), ((8, 1), (640, 360)), ((4, 3), (640, 360)), ((3, 4), (300, 400)), ((40, 11), (640, 288))],
)
@pytest.mark.parametrize("rotation", [0, 90])
def test_a_picture_of_oblong_pixels_has_its_displayed_shape(
    module: ModuleType, scaler, aspect: tuple[int, int], stretched: tuple[int, int], rotation: int
) -> None:
    wide, high = aspect
    stored = (max(stretched[0] * high // wide, 1), stretched[1]) if wide > high else (300, stretched[1] * wide // high)
    if aspect == (1, 1):
        stored = stretched
    display = module.Display(rotation, aspect=aspect)
    shown = display.size(*stored)
    assert shown == (stretched if rotation == 0 else stretched[::-1])
    squeezed = scaler.square(frame_of(np.full((stored[1], stored[0], 3), 255, np.uint8)), display)
    box = module.Letterbox.of(*shown, SIDE)
    inside = np.zeros((SIDE, SIDE), bool)
    inside[box.top : box.top + box.height, box.left : box.left + box.width] = True
    assert (squeezed[inside] >= 254).all()
    assert (squeezed[~inside] == GREY).all()


@pytest.mark.parametrize("aspect", [(2**31 - 1, 1), (1, 2**31 - 1)])
def test_a_shape_that_nobody_could_see_is_still_a_shape(module: ModuleType, scaler, aspect: tuple[int, int]) -> None:
    display = module.Display(aspect=aspect)
    assert max(display.size(640, 360)) == 2**31 - 1, "PICTURE_SIZE is INT32"
    assert scaler.square(frame_of(picture(3, 640, 360)), display).shape == (SIDE, SIDE, 3)


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
def test_colour_matrix_range_and_depth(
    module: ModuleType, scaler, pix_fmt: str, colorspace: int, full_range: bool
) -> None:
    y, cb, cr = 130, 90, 160
    frame = av.VideoFrame(333, 201, pix_fmt)
    for plane, value in zip(frame.planes, (y, cb, cr), strict=True):
        if "10" in pix_fmt:
            plane.update(np.full(plane.buffer_size // 2, value * 4, "<u2").tobytes())
        else:
            plane.update(bytes([value]) * plane.buffer_size)
    frame.colorspace = colorspace
    frame.color_range = 2 if full_range else 1
    square = scaler.square(frame, module.Display())
    expected = rgb_of(y, cb, cr, MATRICES[colorspace], full_range)
    assert np.abs(square[SIDE // 2, SIDE // 2] - expected).max() <= 3


def test_range_and_matrix_are_taken_from_each_frame(module: ModuleType, scaler) -> None:
    """The scaler keeps swscale's tables: they must follow what changes between frames."""
    results = []
    for full_range in (1, 2, 1):
        frame = av.VideoFrame(64, 64, "yuv420p")
        for plane, value in zip(frame.planes, (50, 128, 128), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        frame.color_range = full_range
        results.append(int(scaler.square(frame, module.Display())[160, 160, 0]))
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
        full = [scaler.square(frame, module.Display()) for frame in container.decode(video=0)]
    for number in range(0, len(full), 7):
        [square] = module.decode_window(video, [number], UPRIGHT, scaler, module.Limits(1 << 24)).frames
        np.testing.assert_array_equal(square, full[number])


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.codec}-{spec.pix_fmt}")
def test_a_cut_clip_gives_the_pixels_of_a_full_decode(module: ModuleType, scaler, spec: ClipSpec) -> None:
    video = make_clip(spec)
    with av.open(io.BytesIO(video)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    with av.open(io.BytesIO(video)) as container:
        full = {frame.pts: scaler.square(frame, module.Display()) for frame in container.decode(video=0)}
    keys = [place for place, packet in enumerate(packets) if packet.is_keyframe]
    last = packets[keys[-1]]
    # Every keyframe, and two packets after the last one: a run with a gap before it.
    kept = {*keys, keys[-1] + 1, keys[-1] + 2} & set(range(len(packets)))
    clip = cut_clip(video, lambda place, _: place in kept)
    times = sorted(packets[place].pts for place in kept)
    wanted = [rank for rank, pts in enumerate(times) if pts >= last.pts or pts in {packets[key].pts for key in keys}]
    frames = module.decode_window(clip, wanted, UPRIGHT, scaler, module.Limits(1 << 24)).frames
    assert len(wanted) > 1
    for rank, square in zip(wanted, frames, strict=True):
        np.testing.assert_array_equal(square, full[times[rank]])


LARGE = ClipSpec(width=1280, height=720, keyframe_interval=5, seconds=2, options={"crf": "32"})


def full_decode(module: ModuleType, video: bytes, scaler) -> tuple[list[av.Packet], list[np.ndarray]]:
    with av.open(io.BytesIO(video)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    with av.open(io.BytesIO(video)) as container:
        return packets, [scaler.square(frame, module.Display()) for frame in container.decode(video=0)]


def test_block_edges_of_large_keyframes_are_not_smoothed(module: ModuleType, scaler) -> None:
    video = make_clip(LARGE)
    packets, full = full_decode(module, video, scaler)
    keys = [place for place, packet in enumerate(packets) if packet.is_keyframe]
    frames = module.decode_window(
        cut_clip(video, lambda place, _: place in keys), range(len(keys)), UPRIGHT, scaler, module.Limits(1 << 24)
    ).frames
    difference = np.abs(np.stack([full[key] for key in keys]).astype(int) - frames)
    assert len(keys) == 4
    assert 0 < difference.mean() < 0.5


def test_a_picture_that_others_are_made_from_is_smoothed(module: ModuleType, scaler) -> None:
    _, full = full_decode(module, video := make_clip(LARGE), scaler)
    frames = module.decode_window(video, [0, 3, 5], UPRIGHT, scaler, module.Limits(1 << 24)).frames
    np.testing.assert_array_equal(frames, [full[0], full[3], full[5]])


def test_a_picture_that_is_hardly_made_smaller_is_smoothed(module: ModuleType, scaler) -> None:
    _, full = full_decode(module, video := make_clip(dataclasses.replace(LARGE, width=640, height=360)), scaler)
    [frame] = module.decode_window(video, [5], UPRIGHT, scaler, module.Limits(1 << 24)).frames
    np.testing.assert_array_equal(frame, full[5])
