"""Whether a packet is a keyframe by its own bytes: containers are mistaken about that, or lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias, cast

import av.error
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext

from wildgate_server.media.nal_syntax import NAL_SYNTAX
from wildgate_server.media.nal_units import is_h264_keyframe
from wildgate_server.media.picture_headers import is_h263_keyframe, is_sorenson_keyframe, is_wmv3_keyframe
from wildgate_server.media.video import out_of_memory

__all__ = ["keyframe_check"]

# Codecs whose parsers in FFmpeg tell keyframes; others take every packet for one.
_PARSED = frozenset({"h264", "hevc", "vvc", "vp8", "vp9", "av1", "rv30", "rv40"})

# Codecs that a few bits tell it of: a keyframe has this value under this mask in this byte, as FFmpeg's decoders read
# their headers (msmpeg4dec.c, wmv2dec.c, svq1dec.c, vp3.c, vp5.c, vp6.c, vp8.c, zmbv.c, indeo5.c, cinepak.c; ffv1dec.c
# and snowdec.c, whose first coded bit is, but for rounding, the first one; Theora specification, 7.1).
_BITS: Mapping[str, tuple[int, int, int]] = {
    "msmpeg4v1": (4, 0x06, 0),
    "msmpeg4v2": (0, 0xC0, 0),
    "msmpeg4v3": (0, 0xC0, 0),
    "wmv1": (0, 0xC0, 0),
    "wmv2": (0, 0x80, 0),
    "svq1": (3, 0x03, 0),
    "theora": (0, 0xC0, 0),
    "vp3": (0, 0x80, 0),
    "vp4": (0, 0x80, 0),
    "vp5": (0, 0x80, 0),
    "vp6": (0, 0x80, 0),
    "vp6f": (0, 0x80, 0),
    "vp6a": (3, 0x80, 0),
    "vp7": (0, 0x01, 0),
    "zmbv": (0, 0x01, 1),
    "indeo5": (0, 0xFF, 0x1F),
    "cinepak": (10, 0xFF, 0x10),
    "ffv1": (0, 0x80, 0x80),
    "snow": (0, 0x80, 0x80),
}

# Every packet is coded by itself, though FFmpeg's description of the codec leaves that open.
_INTRA = frozenset({"png", "cfhd"})
# Its decoder itself goes by what the container says.
_AS_FLAGGED = frozenset({"flashsv2"})

KeyframeCheck: TypeAlias = Callable[["bytes | memoryview"], bool]
"""Whether a packet is a keyframe."""


def keyframe_check(context: VideoCodecContext, extradata: bytes | None = None) -> KeyframeCheck | None:
    """Tells keyframes of the video stream with this codec context, by its parameters or by others than its own.

    None for codecs of which nothing here can tell; FFmpeg calls packets of some of these keyframes that are not.
    """
    codec, extradata = context.codec.canonical_name, extradata or context.extradata or b""
    if context.codec.intra_only or codec in _INTRA | _AS_FLAGGED:
        return lambda packet: True
    if codec in _BITS:
        at, mask, value = _BITS[codec]
        return lambda packet: len(packet) > at and packet[at] & mask == value
    if codec == "wmv3":
        return lambda packet: is_wmv3_keyframe(packet, extradata)
    if codec in _HEADERS:
        return _HEADERS[codec]
    if codec not in _PARSED:
        return None
    parsed = _parser_check(context, extradata)
    if (syntax := NAL_SYNTAX.get(codec)) is None:
        return parsed
    tells = partial(is_h264_keyframe, extradata=extradata, parsed=parsed) if codec == "h264" else parsed
    return lambda packet: syntax.holds_picture(packet, extradata) and tells(packet)


def _parser_check(context: VideoCodecContext, extradata: bytes) -> Callable[[bytes | memoryview], bool]:
    parser = CodecContext.create(context.codec.name, "r")
    parser.extradata = extradata or None

    def is_keyframe(packet: bytes | memoryview) -> bool:
        try:
            pictures = [*parser.parse(cast(bytes, packet)), *parser.parse(None)]
        except MemoryError:
            raise out_of_memory() from None
        except av.error.FFmpegError:
            return False
        return any(picture.is_keyframe for picture in pictures)

    return is_keyframe


def _is_mpeg4_keyframe(packet: bytes | memoryview) -> bool:
    """Whether the first picture of an MPEG-4 Part 2 packet is coded by itself.

    ISO/IEC 14496-2, 6.2.5: after vop_start_code, two bits of vop_coding_type, which are zero then.
    """
    packet = bytes(packet)
    at = packet.find(b"\0\0\1\xb6") + 4
    return 4 <= at < len(packet) and packet[at] < 0x40


def _is_mpeg2_keyframe(packet: bytes | memoryview) -> bool:
    """Whether the first picture of an MPEG-1 or MPEG-2 packet is an I picture.

    ISO/IEC 13818-2, 6.2.3: after picture_start_code, ten bits of temporal_reference, three of picture_coding_type.
    """
    packet = bytes(packet)
    at = packet.find(b"\0\0\1\0") + 5
    return 5 <= at < len(packet) and packet[at] >> 3 & 7 == 1


def _is_real_keyframe(codec: str, packet: bytes | memoryview) -> bool:
    """Whether a RealVideo 1 or 2 packet begins an I picture, after its table of slices (FFmpeg's rv10.c)."""
    at = 1 + 8 * (packet[0] + 1) if packet else 0
    return at < len(packet) and not packet[at] & (0x40 if codec == "rv10" else 0x80)


_HEADERS: Mapping[str, KeyframeCheck] = {
    "mpeg4": _is_mpeg4_keyframe,
    "mpeg1video": _is_mpeg2_keyframe,
    "mpeg2video": _is_mpeg2_keyframe,
    "rv10": partial(_is_real_keyframe, "rv10"),
    "rv20": partial(_is_real_keyframe, "rv20"),
    "h263": is_h263_keyframe,
    "h263p": is_h263_keyframe,
    "flv1": is_sorenson_keyframe,
}
