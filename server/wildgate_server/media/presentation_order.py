"""In which order coded frames are shown, by their own headers: for videos without a clock."""

from __future__ import annotations

from collections.abc import Sequence

import av.error
from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.video.stream import VideoStream

__all__ = ["MOST_REORDERED", "presentation_order"]

MOST_REORDERED = 16
"""By how many frames one may be shown after its turn to be decoded (ITU-T H.264, A.3.1; H.265, A.4.2: MaxDpbSize)."""


def presentation_order(packets: Sequence[Packet[VideoStream]], stream: VideoStream) -> list[int]:
    """Each packet's place in presentation order, as FFmpeg derives it from picture order counts; else its own place.

    FFmpeg's filter is mistaken about some frames at the end: none is believed to be farther from its turn than it can.
    """
    shown = list(range(len(packets)))
    for place, stamp in enumerate(_stamps(packets, stream)):
        if stamp is not None and abs(stamp - place) <= MOST_REORDERED:
            shown[place] = stamp
    order = [0] * len(packets)
    for rank, place in enumerate(sorted(range(len(packets)), key=lambda place: (shown[place], place))):
        order[place] = rank
    return order


def _stamps(packets: Sequence[Packet[VideoStream]], stream: VideoStream) -> list[int | None]:
    """Presentation times by FFmpeg's filter that derives them from decoding times, which are the packets' places."""
    if stream.codec_context.codec.canonical_name not in {"h264", "hevc"}:
        return []
    try:
        derive = BitStreamFilterContext("dts2pts", stream)
        derived: list[Packet[VideoStream]] = []
        for place, packet in enumerate(packets):
            copy = Packet(bytes(packet))
            copy.dts, copy.duration, copy.time_base = place, 1, packet.time_base
            derived += derive.filter(copy)
        derived += derive.filter(None)
    except av.error.FFmpegError:
        return []
    return [packet.pts for packet in sorted(derived, key=lambda packet: packet.dts or 0)]
