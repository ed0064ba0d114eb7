"""Whether a packet is a keyframe by its own bytes: containers are mistaken about that, or lie."""

from __future__ import annotations

from typing import cast

import av.error
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext

from wildgate_server.media.nal_units import is_h264_recovery_point
from wildgate_server.media.video import out_of_memory

__all__ = ["KeyframeCheck"]

# Codecs whose parsers in FFmpeg tell keyframes.
_PARSED = frozenset({"h264", "hevc", "vp8", "vp9", "av1"})


class KeyframeCheck:
    """Tells keyframes of one video stream."""

    def __init__(self, context: VideoCodecContext) -> None:
        self._codec = context.codec.canonical_name
        self._is_intra_only = context.codec.intra_only
        self._extradata = context.extradata or b""
        self._parser: CodecContext | None = None
        if not self._is_intra_only and self._codec in _PARSED:
            self._parser = CodecContext.create(context.codec.name, "r")
            self._parser.extradata = context.extradata

    def __call__(self, packet: bytes | memoryview) -> bool | None:
        """Whether it is a keyframe; None for codecs that nothing here can tell it of."""
        if self._is_intra_only:
            return True
        if self._codec == "mpeg4":
            return _is_mpeg4_keyframe(bytes(packet))
        if self._parser is None:
            return None
        try:
            pictures = [*self._parser.parse(cast(bytes, packet)), *self._parser.parse(None)]
        except MemoryError:
            raise out_of_memory() from None
        except av.error.FFmpegError:
            return False
        if any(picture.is_keyframe for picture in pictures):
            return True
        return self._codec == "h264" and is_h264_recovery_point(bytes(packet), self._extradata)


def _is_mpeg4_keyframe(packet: bytes) -> bool:
    """Whether the first picture of an MPEG-4 Part 2 packet is coded by itself.

    ISO/IEC 14496-2, 6.2.5: after vop_start_code, two bits of vop_coding_type, which are zero then.
    """
    at = packet.find(b"\0\0\1\xb6") + 4
    return 4 <= at < len(packet) and packet[at] < 0x40
