"""Files joined of several, end to end: where the next one begins.

FFmpeg reads only the first of them, or takes what follows for more of the first, whatever the next one's header says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from wildgate_server.media.file_view import FileView
from wildgate_server.media.video import VideoPacket

__all__ = ["JoinedFile", "last_place", "next_files"]

# What a file of the format begins with. FLV: its header and the size of no tag (Adobe's specification, E.2 and E.3).
# Ogg: a page that begins a stream (RFC 3533, 6); FFmpeg gives up at the second link of a chain of several streams.
# Matroska: an EBML header with its DocType, and a segment (RFC 8794, 8.1, and RFC 9559, 4.5). ASF: the header object.
_BEGINNINGS: Mapping[str, re.Pattern[bytes]] = {
    "flv": re.compile(rb"FLV\x01.\0\0\0\x09\0{4}", re.DOTALL),
    "ogg": re.compile(rb"OggS\0\x02"),
    "matroska": re.compile(rb"\x1a\x45\xdf\xa3(?=.{0,256}?\x42\x82.{0,256}?\x18\x53\x80\x67)", re.DOTALL),
    "asf": re.compile(re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"))),
}
_READ_ACROSS = frozenset({"matroska"})  # FFmpeg takes the next file's frames for the first one's


@dataclass(slots=True)
class JoinedFile:
    """A file that begins at `start` of a larger one, with all that follows.

    `end`, which who reads it sets, is where in the larger file its last packet lies.
    """

    start: int
    data: bytes
    end: int = 0


def last_place(packets: Iterable[VideoPacket]) -> int:
    """Where the last of packets lies in its file, in bytes."""
    return max((packet.pos or 0 for packet in packets), default=0)


def next_files(source: BinaryIO | FileView, format_name: str, end: int) -> Iterator[JoinedFile]:
    """The files that may follow the first one in `source`, whose last packet lies at `end`."""
    if (beginning := _BEGINNINGS.get(format_name)) is None:
        return
    at = 1 if format_name in _READ_ACROSS else end
    source.seek(at)
    base, content = at, source.read()
    while found := beginning.search(content, at - base):
        file = JoinedFile(base + found.start(), content[found.start() :])
        yield file
        at = file.start + 1 if format_name in _READ_ACROSS else max(file.end, file.start + 1)
