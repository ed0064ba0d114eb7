"""Whatever FFmpeg decodes is cut into clips that show what a full decode shows, or refused by name."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import av
import numpy as np
import pytest
from clips import ClipSpec, make_clip
from full_decode import clip_frames, frames_by_time
from triton_seam import load_model

from wildgate_server.media.sampled_video import SampledVideo, VideoLimits
from wildgate_server.sampling.offline import sample_content
from wildgate_server.sampling.plan import SamplingConfig

LIMITS = VideoLimits(max_bytes=1 << 26, max_pixels=1 << 22, max_seconds=60.0)
SMALL = {"width": 160, "height": 96, "seconds": 1.6, "keyframe_interval": 5}
CIF = {**SMALL, "width": 352, "height": 288}
PAL = {"width": 720, "height": 576, "seconds": 0.4, "fps": 25}
EXPERIMENTAL = {"strict": "experimental"}

# What is made, as (encoder, container, pixel format) and how it differs; and which container its clips are.
MADE = [
    (ClipSpec("wmv1", "asf", **SMALL), "avi"),
    (ClipSpec("wmv2", "asf", **SMALL), "avi"),
    (ClipSpec("msmpeg4v2", "avi", **SMALL), "avi"),
    (ClipSpec("msmpeg4", "asf", **SMALL), "mov"),
    (ClipSpec("flv", "flv", **SMALL), "avi"),
    (ClipSpec("flashsv", "flv", pix_fmt="bgr24", **SMALL), "avi"),
    (ClipSpec("h261", "avi", **CIF), "nut"),
    (ClipSpec("h263", "mov", **CIF), "mov"),
    (ClipSpec("mpeg1video", "mpeg", fps=25, **{**SMALL, "seconds": 1.0}), "mov"),
    (ClipSpec("mpeg2video", "mxf", **{**PAL, "keyframe_interval": 5}), "mov"),
    (ClipSpec("mpeg2video", "gxf", **PAL), "mov"),
    (ClipSpec("snow", "avi", options=EXPERIMENTAL, **SMALL), "matroska"),
    (ClipSpec("huffyuv", "avi", pix_fmt="yuv422p", **SMALL), "avi"),
    (ClipSpec("huffyuv", "avi", pix_fmt="rgb24", **SMALL), "avi"),
    (ClipSpec("ffvhuff", "avi", **SMALL), "avi"),
    (ClipSpec("utvideo", "avi", **SMALL), "avi"),
    (ClipSpec("utvideo", "nut", pix_fmt="gbrp", **SMALL), "avi"),
    (ClipSpec("magicyuv", "avi", pix_fmt="gbrp", **SMALL), "mov"),
    (ClipSpec("zmbv", "avi", pix_fmt="bgr0", **SMALL), "avi"),
    (ClipSpec("zlib", "avi", pix_fmt="bgr24", **SMALL), "avi"),
    (ClipSpec("cinepak", "avi", pix_fmt="rgb24", **SMALL), "mov"),
    (ClipSpec("msvideo1", "avi", pix_fmt="rgb555le", **SMALL), "avi"),
    (ClipSpec("jpegls", "avi", pix_fmt="rgb24", **SMALL), "avi"),
    (ClipSpec("ljpeg", "avi", pix_fmt="bgr24", **SMALL), "mov"),
    (ClipSpec("asv1", "avi", **SMALL), "avi"),
    (ClipSpec("asv2", "avi", **SMALL), "avi"),
    (ClipSpec("cljr", "avi", pix_fmt="yuv411p", **SMALL), "avi"),
    (ClipSpec("speedhq", "avi", pix_fmt="yuv422p", **SMALL), "avi"),
    (ClipSpec("ffv1", "matroska", **SMALL), "mov"),
    (ClipSpec("qtrle", "mov", pix_fmt="rgb24", **SMALL), "mov"),
    (ClipSpec("svq1", "mov", pix_fmt="yuv410p", **SMALL), "mov"),
    (ClipSpec("png", "mov", pix_fmt="rgb24", **SMALL), "mov"),
    (ClipSpec("prores", "mxf", pix_fmt="yuv422p10le", fps=25, **{**SMALL, "seconds": 0.4}), "mov"),
    (ClipSpec("jpeg2000", "mxf", pix_fmt="rgb24", fps=25, **{**SMALL, "seconds": 0.4}), "mov"),
    (ClipSpec("dvvideo", "dv", **PAL), "mov"),
    (ClipSpec("dvvideo", "avi", **PAL), "mov"),
    (ClipSpec("rawvideo", "avi", pix_fmt="bgr24", **SMALL), "mov"),
    (ClipSpec("rawvideo", "nut", pix_fmt="rgb24", **SMALL), "mov"),
    (ClipSpec("rawvideo", "mov", pix_fmt="yuyv422", **SMALL), "mov"),
    (ClipSpec("wrapped_avframe", "yuv4mpegpipe", **SMALL), "avi"),
    (ClipSpec("mjpeg", "mjpeg", pix_fmt="yuvj420p", **SMALL), "mov"),
    (ClipSpec("mpeg4", "nut", b_frames=2, **SMALL), "mov"),
    (ClipSpec("gif", "gif", pix_fmt="rgb8", **SMALL), "mov"),
    (ClipSpec("flashsv2", "flv", pix_fmt="bgr24", **SMALL), "nut"),
    (ClipSpec("rv10", "rm", **{**SMALL, "width": 176, "height": 144}), "nut"),
    (ClipSpec("rv20", "rm", **CIF), "nut"),
    (ClipSpec("apng", "apng", pix_fmt="rgb24", **SMALL), "apng"),
]


def named(value: object) -> str:
    return f"{value.codec}-{value.container}-{value.pix_fmt}" if isinstance(value, ClipSpec) else ""


def sample(content: bytes, max_gap_s: float) -> SampledVideo:
    return sample_content(content, SamplingConfig(4, max_gap_s), LIMITS)


@pytest.mark.parametrize(("spec", "clip_format"), MADE, ids=named)
def test_clips_show_what_a_full_decode_shows(spec: ClipSpec, clip_format: str | None) -> None:
    content = make_clip(spec)
    truth = frames_by_time(content, pixels="rgb24")
    allowed = load_model("clip_decoder", "decoding.py").OPEN_OPTIONS
    for max_gap_s in (0.15, 0.6):
        [track] = sample(content, max_gap_s).tracks
        assert (round(track.first_s, 6), round(track.last_s, 6)) == (min(truth), max(truth))
        shown = []
        for window in track.windows:
            with av.open(io.BytesIO(window.clip), options=allowed) as clip:
                assert clip_format is None or clip_format in clip.format.name
            for time_s, frame in zip(window.times_s, clip_frames(window, "rgb24"), strict=False):
                np.testing.assert_array_equal(frame, truth[round(time_s, 6)], f"at {time_s} s")
                shown.append(frame.tobytes())
        assert len(set(shown)) > len(shown) / 2, "the pictures are to tell the frames apart"
        assert len(shown) > 1 or max_gap_s > 0.5


@pytest.mark.parametrize(
    ("codec", "container"), [("msrle", "avi"), ("smc", "mov"), ("rawvideo", "mov"), ("rawvideo", "avi")]
)
def test_a_palette_that_is_told_once_goes_with_every_clip(codec: str, container: str) -> None:
    """Of eight bits a pixel, colours beside the packets: those of the first packet hold for all."""
    content = paletted(12, codec, container)
    truth = frames_by_time(content, pixels="rgb24")
    [track] = sample(content, 0.25).tracks
    assert len(track.windows) > 1, "a clip without the first packet"
    for window in track.windows:
        for time_s, frame in zip(window.times_s, clip_frames(window, "rgb24"), strict=False):
            np.testing.assert_array_equal(frame, truth[round(time_s, 6)], f"at {time_s} s")
    assert len({frame.tobytes() for frame in truth.values()}) == 12


def paletted(count: int, codec: str, container_format: str) -> bytes:
    """Video of eight bits a pixel, ten frames a second; the palette is not in the frames."""
    colours = np.random.default_rng(1).integers(0, 256, (256, 4), np.uint8)
    colours[:, 0] = 255  # alpha
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "pal8"
        stream.codec_context.gop_size = 4
        for number in range(count):
            indices = np.full((48, 64), number, np.uint8)
            frame = av.VideoFrame.from_ndarray((indices, colours), "pal8")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def test_every_keyframe_of_a_gif_but_the_first_depends_on_those_before() -> None:
    [track] = sample(make_clip(ClipSpec("gif", "gif", pix_fmt="rgb8", **SMALL)), 0.6).tracks
    assert track.windows[0].coded_frames > len(track.windows[0].times_s)


def test_a_clip_is_never_made_of_what_a_container_changes() -> None:
    """AVI pads the rows of raw pictures: then it is the next container's turn."""
    odd = replace(MADE[0][0], codec="wrapped_avframe", container="yuv4mpegpipe", width=162, pix_fmt="yuv444p")
    content = make_clip(odd)
    assert re.search(rb"C444", content[:100])
    truth = frames_by_time(content, pixels="rgb24")
    [track] = sample(content, 0.6).tracks
    for window in track.windows:
        for time_s, frame in zip(window.times_s, clip_frames(window, "rgb24"), strict=False):
            np.testing.assert_array_equal(frame, truth[round(time_s, 6)])
