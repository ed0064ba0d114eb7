"""Files joined of several, end to end: where the next one begins, and tracks that go on in it.

FFmpeg reads only the first of them, or takes what follows for more of the first, whatever the next one's header says.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import BinaryIO

from av.video.stream import VideoStream

from wildgate_server.media.file_view import FileView
from wildgate_server.media.transport_stream_index import codec_changes
from wildgate_server.media.video import VideoPacket

__all__ = ["JoinedFile", "Track", "last_place", "next_files"]

# What a file of the format begins with. FLV: its header and the size of no tag (Adobe's specification, E.2 and E.3).
# Ogg: a page that begins a stream (RFC 3533, 6); FFmpeg gives up at the second link of a chain of several streams.
# Matroska: an EBML header (RFC 8794, 8.1). ASF: the identifier of its header object. AVI: a RIFF of that form, which
# further ones of a large file have not. NUT, RealMedia and YUV4MPEG2: their signatures. Not MP4: of joined ones players
# show the first alone.
_BEGINNINGS: Mapping[str, re.Pattern[bytes]] = {
    "flv": re.compile(rb"FLV\x01.\0\0\0\x09\0{4}", re.DOTALL),
    "ogg": re.compile(rb"OggS\0\x02"),
    "matroska": re.compile(rb"\x1a\x45\xdf\xa3"),
    "asf": re.compile(re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"))),
    "avi": re.compile(rb"RIFF....AVI LIST", re.DOTALL),
    "nut": re.compile(rb"nut/multimedia container\0"),
    "rm": re.compile(rb"\.RMF\0\0\0"),
    "yuv4mpegpipe": re.compile(rb"YUV4MPEG2 "),
}
# What pictures of a codec by themselves begin with, by FFmpeg's names of such files, and those of another one never
# hold: parameter sets of H.264 (ITU-T H.264, 7.4.1) and HEVC (ITU-T H.265, 7.4.2), the headers of a sequence with what
# follows it in MPEG-1 and MPEG-2 (ISO/IEC 13818-2, 6.2.2), and in MPEG-4 (ISO/IEC 14496-2, 6.2.2).
_RAW_BEGINNINGS: Mapping[str, re.Pattern[bytes]] = {
    "h264": re.compile(
        rb"\0\0\x01[\x27\x47\x67][\x42\x4d\x58\x64\x6e\x7a\xf4].{4,120}?\0\0\x01[\x28\x48\x68]", re.DOTALL
    ),
    "hevc": re.compile(rb"\0\0\x01\x40\x01\x0c.{8,120}?\0\0\x01\x42\x01", re.DOTALL),
    "mpegvideo": re.compile(rb"\0\0\x01\xb3.{8,150}?\0\0\x01[\xb5\xb8]", re.DOTALL),
    "m4v": re.compile(rb"\0\0\x01\xb0.\0\0\x01\xb5", re.DOTALL),
}
# Of these FFmpeg takes the next file's frames for the first one's.
_READ_ACROSS = frozenset({"matroska", "avi", "nut", "rm", "yuv4mpegpipe"})


class _Rest(io.BytesIO):
    """A file that begins at `start` of `content`, which is not copied."""

    def __init__(self, content: bytes, start: int) -> None:
        super().__init__(content)
        self._start = start
        super().seek(start)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return super().seek(offset + self._start if whence == io.SEEK_SET else offset, whence) - self._start

    def tell(self) -> int:
        return super().tell() - self._start


@dataclass(slots=True)
class JoinedFile:
    """A file of FFmpeg's format `name` that begins at `start` of a larger one, with all that follows.

    `end`, which who reads it sets, is where in the larger file its last packet lies.
    """

    start: int
    data: BinaryIO
    name: str
    end: int = 0


def last_place(packets: Iterable[VideoPacket]) -> int:
    """Where the last of packets lies in its file, in bytes."""
    return max((packet.pos or 0 for packet in packets), default=0)


def next_files(source: BinaryIO | FileView, format_name: str, end: int) -> Iterator[JoinedFile]:
    """The files that may follow the first one in `source`, whose last packet lies at `end`.

    Of a transport stream in which a stream changes its codec, all the parts: FFmpeg knows only the last one's. Of
    pictures by themselves, those of another codec: FFmpeg takes what follows for more of the first one's.
    """
    if format_name == "mpegts":
        source.seek(0)
        content = source.read()
        places = [0, *codec_changes(content), len(content)]
        for start, stop in pairwise(places if len(places) > 2 else ()):
            yield JoinedFile(start, io.BytesIO(content[start:stop]), format_name)
        return
    if format_name in _RAW_BEGINNINGS:
        yield from _other_pictures(source, format_name)
        return
    if (beginning := _BEGINNINGS.get(format_name)) is None:
        return
    source.seek(0)
    content = source.read()
    at = 1 if format_name in _READ_ACROSS else end
    while found := beginning.search(content, at):
        file = JoinedFile(found.start(), _Rest(content, found.start()), format_name)
        yield file
        at = file.start + 1 if format_name in _READ_ACROSS else max(file.end, file.start + 1)


def _other_pictures(source: BinaryIO | FileView, format_name: str) -> Iterator[JoinedFile]:
    """The parts of pictures by themselves that are of another codec than the ones before."""
    source.seek(0)
    content = source.read()
    begun = sorted(
        (found.start(), name) for name in _RAW_BEGINNINGS for found in _RAW_BEGINNINGS[name].finditer(content)
    )
    changes = [after for before, after in pairwise([(0, format_name), *begun]) if after[1] != before[1]]
    for (start, name), (stop, _) in pairwise([*changes, (len(content), "")]):
        yield JoinedFile(start, io.BytesIO(content[start:stop]), name)


@dataclass(slots=True, eq=False)
class Track:
    """A stream, its number in the file, and its packets, in the part of the file that begins at `start`.

    `begun`: the places among them where another file begins, and the decoder's parameters in it.
    """

    stream: VideoStream
    number: int
    packets: list[VideoPacket]
    start: int = 0
    begun: dict[int, bytes] = field(default_factory=dict)
    end: int = field(init=False)  # where in the file the last packet lies

    def __post_init__(self) -> None:
        self.end = self.start + last_place(self.packets)

    def takes(self, other: Track) -> bool:
        """Whether another, of a file that follows, goes on where this one ends."""
        same_codec = self.stream.codec_context.codec.id == other.stream.codec_context.codec.id
        begins = other.start + min(packet.pos or 0 for packet in other.packets)
        return bool(self.packets) and same_codec and self.end < begins

    def add(self, other: Track) -> None:
        """Goes on with the packets of another."""
        self.begun[len(self.packets)] = other.stream.codec_context.extradata or b""
        self.packets += [_retimed(packet, self.stream) for packet in other.packets]
        self.end = other.end

    def identities(self) -> list[int]:
        """For each packet a number that is that of equal bytes at the same place, decoded in the same way."""
        context = self.stream.codec_context
        way = (context.codec.id, context.extradata)
        return [hash((way, self.start + (packet.pos or 0), bytes(packet))) for packet in self.packets]


def _retimed(packet: VideoPacket, stream: VideoStream) -> VideoPacket:
    """The packet of another file, its stamps in the ticks of `stream`."""
    if packet.time_base != stream.time_base:
        by = packet.time_base / (stream.time_base or packet.time_base)
        packet.pts = None if packet.pts is None else round(packet.pts * by)
        packet.dts = None if packet.dts is None else round(packet.dts * by)
    return packet
