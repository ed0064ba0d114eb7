"""Keyframes are told by their own bytes, whatever a container says of them."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import pytest
from av.codec.context import CodecContext
from clips import ClipSpec, make_clip, picture

from wildgate_server.media.container import open_video
from wildgate_server.media.keyframe_check import KeyframeCheck, keyframe_check
from wildgate_server.media.sampled_video import VideoLimits

LIMITS = VideoLimits(max_bytes=1 << 26, max_pixels=1 << 22, max_seconds=600.0)

OF_MPEG = [
    "mpeg1video",
    "mpeg2video",
    "mpeg4",
    "msmpeg4v2",
    "msmpeg4",
    "wmv1",
    "wmv2",
    "flv",
    "h263",
    "h263p",
    "libx264",
]
OTHERS = ["svq1", "snow", "ffv1", "zmbv", "cinepak"]


def encoded(encoder: str) -> tuple[list[bytes], list[bool], KeyframeCheck]:
    """Packets of 18 frames, a keyframe every six, as an encoder tells them; and the check of what decodes them."""
    context = CodecContext.create(encoder, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.time_base = 176, 144, Fraction(1, 25)
    context.framerate, context.gop_size, context.max_b_frames = Fraction(25), 6, 0
    context.pix_fmt = {"svq1": "yuv410p", "zmbv": "bgr0", "cinepak": "rgb24"}.get(encoder, "yuv420p")
    context.options = {"strict": "-2"} | ({"x264-params": "scenecut=0"} if encoder == "libx264" else {})
    packets = []
    for number in range(18):
        frame = av.VideoFrame.from_ndarray(picture(number % 5, 176, 144), "rgb24").reformat(format=context.pix_fmt)
        frame.pts = number
        packets += context.encode(frame)
    packets += context.encode(None)
    decoder = CodecContext.create(context.codec.canonical_name, "r")
    decoder.extradata = context.extradata
    assert isinstance(decoder, av.VideoCodecContext)
    check = keyframe_check(decoder)
    assert check is not None
    return list(map(bytes, packets)), [packet.is_keyframe for packet in packets], check


@pytest.mark.parametrize("encoder", OF_MPEG + OTHERS)
def test_keyframes_are_told_from_other_frames_by_their_headers(encoder: str) -> None:
    packets, are_keyframes, is_keyframe = encoded(encoder)
    assert 0 < sum(are_keyframes) < len(packets)
    assert [is_keyframe(packet) for packet in packets] == are_keyframes
    assert not is_keyframe(b"")


@pytest.mark.parametrize(("refresh", "keyframes"), [("intra-refresh=1", 1), ("open-gop=1", 3)])
def test_a_recovery_point_is_a_keyframe_only_if_its_picture_is_sound_at_once(refresh: str, keyframes: int) -> None:
    options = {"x264-params": f"{refresh}:keyint=20:min-keyint=20:scenecut=0"}
    content = make_clip(ClipSpec(width=160, height=96, seconds=6, options=options))
    with open_video(io.BytesIO(content), LIMITS) as [video]:
        assert sum(sample.is_keyframe for sample in video.samples) == keyframes


def test_what_nothing_tells_is_decoded_from_the_start() -> None:
    content = make_clip(ClipSpec("msvideo1", "avi", 160, 96, 2, pix_fmt="rgb555le", options={"strict": "-2"}))
    with open_video(io.BytesIO(content), LIMITS) as [video]:
        assert [at for at, sample in enumerate(video.samples) if sample.is_keyframe] == [0]
