"""Whether a packet is a keyframe by its own bytes: containers are mistaken about that, or lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

import av.error
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext

from wildgate_server.media.nal_units import is_h264_recovery_point
from wildgate_server.media.video import out_of_memory

__all__ = ["FROM_THE_START", "keyframe_check"]

# Codecs whose parsers in FFmpeg tell keyframes.
_PARSED = frozenset({"h264", "hevc", "vp8", "vp9", "av1"})

FROM_THE_START = frozenset({"gif", "apng", "h261"})
"""Codecs of which nothing but the first frame is a keyframe: others draw on those before, or nothing tells that they do
not. FFmpeg calls frames of these keyframes that are none."""

KeyframeCheck: TypeAlias = Callable[["bytes | memoryview"], "bool | None"]
"""Whether a packet is a keyframe; None for codecs that nothing here can tell it of."""


def keyframe_check(context: VideoCodecContext, extradata: bytes | None = None) -> KeyframeCheck:
    """Tells keyframes of the video stream with this codec context, by its parameters or by others than its own."""
    codec, extradata = context.codec.canonical_name, extradata or context.extradata or b""
    if context.codec.intra_only:
        return lambda packet: True
    if codec == "mpeg4":
        return _is_mpeg4_keyframe
    if codec not in _PARSED:
        return lambda packet: None
    parser = CodecContext.create(context.codec.name, "r")
    parser.extradata = extradata or None

    def is_keyframe(packet: bytes | memoryview) -> bool:
        try:
            pictures = [*parser.parse(cast(bytes, packet)), *parser.parse(None)]
        except MemoryError:
            raise out_of_memory() from None
        except av.error.FFmpegError:
            return False
        if any(picture.is_keyframe for picture in pictures):
            return True
        return codec == "h264" and is_h264_recovery_point(bytes(packet), extradata)

    return is_keyframe


def _is_mpeg4_keyframe(packet: bytes | memoryview) -> bool:
    """Whether the first picture of an MPEG-4 Part 2 packet is coded by itself.

    ISO/IEC 14496-2, 6.2.5: after vop_start_code, two bits of vop_coding_type, which are zero then.
    """
    packet = bytes(packet)
    at = packet.find(b"\0\0\1\xb6") + 4
    return 4 <= at < len(packet) and packet[at] < 0x40
