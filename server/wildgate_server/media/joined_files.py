"""Files joined of several, end to end, of which FFmpeg reads only the first: where the next one begins."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import BinaryIO

from wildgate_server.media.file_view import FileView
from wildgate_server.media.video import VideoPacket

__all__ = ["next_file"]

# What a file of the format begins with. FLV: its header and the size of no tag (Adobe's specification, E.2 and E.3).
# Ogg: a page that begins a stream (RFC 3533, 6); FFmpeg gives up at the second link of a chain of several streams.
_BEGINNINGS: Mapping[str, re.Pattern[bytes]] = {
    "flv": re.compile(rb"FLV\x01.\0\0\0\x09\0{4}", re.DOTALL),
    "ogg": re.compile(rb"OggS\0\x02"),
}


def next_file(source: BinaryIO | FileView, format_name: str, packets: Iterable[VideoPacket]) -> bytes:
    """What follows the first of the files in `source`, in which FFmpeg found `packets`; nothing if it is alone."""
    if (beginning := _BEGINNINGS.get(format_name)) is None:
        return b""
    source.seek(max((packet.pos or 0 for packet in packets), default=0))
    rest = source.read()
    found = beginning.search(rest)
    return rest[found.start() :] if found else b""
