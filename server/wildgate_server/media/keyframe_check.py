"""Whether a packet is a keyframe by its own bytes: containers are mistaken about that, or lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


def keyframe_check(context: VideoCodecContext, extradata: bytes | None = None) -> KeyframeCheck:
    """Tells keyframes of the video stream with this codec context, by its parameters or by others than its own."""
    codec, extradata = context.codec.canonical_name, extradata or context.extradata or b""
    if context.codec.intra_only:
        return lambda packet: True
    if codec in _TOLD:
        return _TOLD[codec]
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


def _is_gif_keyframe(packet: bytes | memoryview) -> bool:
    """Whether FFmpeg's decoder begins with a packet of a GIF: with the one that has the file's header."""
    return bytes(packet[:4]) == b"GIF8"


def _is_apng_keyframe(packet: bytes | memoryview) -> bool:
    """Whether a frame of an APNG is the first; what others keep of those before is told by those.

    PNG specification (third edition), 11.3.6.2: the frame control chunk begins with its sequence number.
    """
    at = bytes(packet[:64]).find(b"fcTL") + 4
    return at >= 4 and bytes(packet[at : at + 4]) == bytes(4)


_TOLD: Mapping[str, Callable[[bytes | memoryview], bool]] = {
    "mpeg4": _is_mpeg4_keyframe,
    "gif": _is_gif_keyframe,
    "apng": _is_apng_keyframe,
}
