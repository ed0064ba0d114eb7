"""Whether a packet is a keyframe by its own bytes: containers are mistaken about that, or lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

import av.error
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext

from wildgate_server.media.nal_units import is_h264_recovery_point
from wildgate_server.media.video import out_of_memory

__all__ = ["keyframe_check"]

# Codecs whose parsers in FFmpeg tell keyframes.
_PARSED = frozenset({"h264", "hevc", "vp8", "vp9", "av1"})

KeyframeCheck: TypeAlias = Callable[["bytes | memoryview"], "bool | None"]
"""Whether a packet is a keyframe; None for codecs that nothing here can tell it of."""


def keyframe_check(context: VideoCodecContext) -> KeyframeCheck:
    """Tells keyframes of the video stream with this codec context."""
    codec, extradata = context.codec.canonical_name, context.extradata or b""
    if context.codec.intra_only:
        return lambda packet: True
    if codec == "mpeg4":
        return _is_mpeg4_keyframe
    if codec not in _PARSED:
        return lambda packet: None
    parser = CodecContext.create(context.codec.name, "r")
    parser.extradata = context.extradata

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
