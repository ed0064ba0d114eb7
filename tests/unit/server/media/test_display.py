"""A picture is shown as its container says, or else its codec: turned, mirrored, its pixels stretched."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from clips import ClipSpec, make_clip
from laid_out_webm import block, cluster, packets_of, webm_of
from mp4_boxes import matrix_of, turned

from wildgate_server.media.container import open_video
from wildgate_server.media.sampled_video import Display, VideoLimits

LIMITS = VideoLimits(max_bytes=1 << 26, max_pixels=1 << 22, max_seconds=600.0)

ORIENTATIONS = [(rotation, mirrored) for rotation in (0, 90, 180, 270) for mirrored in (False, True)]


def display_of(content: bytes) -> Display:
    with open_video(io.BytesIO(content), LIMITS) as [video]:
        return video.clip([0]).display


def encoded(codec: str, container: str, aspect: Fraction | None = None, matrix: tuple[int, ...] | None = None) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as target:
        stream = target.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 96, "yuv420p"
        stream.options = {"x265-params": "log-level=none", "b": "1M"}
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if matrix:
            stream.set_display_matrix(matrix)
        target.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((96, 64, 3), np.uint8), "rgb24")))
        target.mux(stream.encode(None))
    return buffer.getvalue()


@pytest.mark.parametrize(("rotation", "mirrored"), ORIENTATIONS)
def test_every_orientation_is_read_from_every_container(rotation: int, mirrored: bool) -> None:
    expected = Display(rotation, mirrored)
    mp4 = turned(make_clip(ClipSpec(width=64, height=96, seconds=0.2)), rotation, mirrored)
    assert display_of(mp4) == expected
    for codec in ("libvpx", "libvpx-vp9"):  # the former's clips are Matroska
        assert display_of(encoded(codec, "webm", matrix=matrix_of(rotation, mirrored))) == expected


@pytest.mark.parametrize(
    ("codec", "container"),
    [
        ("libx264", "mp4"),
        ("libx264", "mpegts"),
        ("libx264", "h264"),
        ("libx265", "mpegts"),
        ("libx265", "hevc"),
        ("mpeg4", "avi"),
    ],
)
def test_the_shape_of_pixels_is_told_by_container_or_codec(codec: str, container: str) -> None:
    assert display_of(encoded(codec, container, Fraction(3, 2))).pixel_aspect == (3, 2)


def test_the_shape_of_pixels_is_what_makes_a_picture_as_large_as_matroska_says() -> None:
    frame = packets_of(make_clip(ClipSpec("libvpx", "webm", 96, 96, 0.1, options={"b": "1M"})))[0]
    assert display_of(webm_of([cluster(0, block(frame))], [(0, 0, None)], 96, (160, 90))).pixel_aspect == (16, 9)


def test_where_container_and_codec_differ_the_container_is_right() -> None:
    mp4 = encoded("libx264", "mp4", Fraction(3, 2))
    at = mp4.index(b"pasp") + 4
    assert display_of(mp4[:at] + bytes([0, 0, 0, 5, 0, 0, 0, 4]) + mp4[at + 8 :]).pixel_aspect == (5, 4)
