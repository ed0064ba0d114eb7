"""A media file as FFmpeg reads it: a seekable file on a byte source.

An ISO media file (MP4, MOV) keeps the index (`moov`, `moof`) apart from the frames' bytes (`mdat`), and the demuxer
never looks into the latter to know time, place, size and kind of every frame. So there is a view for it that fetches
the former and answers zeros for the latter. Boxes: ISO/IEC 14496-12, 4.2; `sidx`: 8.16.3.
"""

from __future__ import annotations

import io
import struct
from bisect import bisect_right
from operator import attrgetter

from wildgate_server.errors import VideoTooLarge
from wildgate_server.media.declared_counts import promised_samples
from wildgate_server.media.sample import UnfitIndex
from wildgate_server.source.byte_source import ByteRange, ByteSource

__all__ = ["FileView", "IndexView", "is_fragmented", "is_iso_media"]

_LARGEST_READ_AHEAD = 8 << 20
_LARGEST_INDEX = 16 << 20  # a larger box is fetched as far as it is read
_LOOK_BYTES = 96 << 10  # of payloads; a keyframe's beginning is enough
_MOST_BOXES = 1 << 12
_MOST_PROMISED = 2_000_000  # samples of all tracks; ten minutes of video and eight tracks of sound have 0.4 million
_HEADER = struct.Struct(">I4s")
_LARGE = struct.Struct(">Q")
# A file that begins with any other box is not taken for ISO media.
_FIRST_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"sidx", b"moof", b"emsg"})


class FileView:
    """A seekable file on `source`, fetched as it is read.

    Each read fetches twice as much ahead as the one before, so that reading all of it takes few requests.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._at = 0
        self._read_ahead = source.step_bytes
        self._failed = False

    def tell(self) -> int:
        """The place of the next read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves the place of the next read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._source.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """The next bytes; nothing once reading has failed.

        FFmpeg goes on after a failure, and PyAV prints the traceback of a second one before it raises the first.
        """
        end = self._source.size if size < 0 else min(self._at + size, self._source.size)
        start, self._at = self._at, max(self._at, end)
        if self._failed or start >= end:
            return b""
        try:
            return self._bytes(ByteRange(start, end))
        except BaseException:
            self._failed = True
            raise

    def _bytes(self, span: ByteRange) -> bytes:
        if not self._source.has(span):
            ahead = min(max(span.end, span.start + self._read_ahead), self._source.size)
            self._source.read([ByteRange(span.start, ahead)])
            self._read_ahead = min(2 * self._read_ahead, _LARGEST_READ_AHEAD)
        return self._source.at_hand(span)


def is_iso_media(source: ByteSource) -> bool:
    """Whether a file begins as ISO media do."""
    return source.ahead(0, 8)[4:] in _FIRST_BOXES


def is_fragmented(source: ByteSource) -> bool:
    """Whether an ISO media file has fragments (`moof`), as far as its boxes follow each other."""
    at = 0
    for _ in range(_MOST_BOXES):
        if at + 16 > source.size:
            break
        header = source.ahead(at, 16)
        size, kind = _HEADER.unpack(header[:8])
        if kind == b"moof":
            return True
        if (size := _LARGE.unpack(header[8:])[0] if size == 1 else size) < 8:
            break
        at += size
    return False


class IndexView(FileView):
    """A seekable file on `source`, ISO media, whose `mdat` payloads are not fetched.

    As much of a payload as is at hand can be read, and a little more, so that the demuxer can learn from the first
    frame what the index leaves out (a codec's profile, say); the rest reads as zeros, and all of it once
    `hide_payloads` is called. An `mdat` box of less than the source's `step_bytes` is read as it is: skipping it would
    cost more.
    """

    def __init__(self, source: ByteSource) -> None:
        super().__init__(source)
        self._walked = 0  # boxes before this place are known
        self._boxes = 0  # their number
        self._holes: list[ByteRange] = []  # payloads, ascending
        self._promised = 0
        self._hidden = False
        self._look_left = _LOOK_BYTES

    def hide_payloads(self) -> None:
        """From now on payloads are zeros."""
        self._hidden = True

    def check(self) -> None:
        """Raises UnfitIndex if there were too many boxes to go through; the reader took that for the file's end."""
        if self._boxes > _MOST_BOXES:
            raise UnfitIndex("too many boxes")

    def _bytes(self, span: ByteRange) -> bytes:
        self._walk(span.end)
        if self._boxes > _MOST_BOXES:
            return b""
        parts: list[bytes] = []
        at = span.start
        for hole in self._holes[bisect_right(self._holes, span.start, key=attrgetter("end")) :]:
            if hole.start >= span.end:
                break
            if at < hole.start:
                parts.append(super()._bytes(ByteRange(at, hole.start)))
                at = hole.start
            inside = ByteRange(at, min(hole.end, span.end))
            parts.append(bytes(len(inside)) if self._hidden else self._payload(inside, hole))
            at = inside.end
        if at < span.end:
            parts.append(super()._bytes(ByteRange(at, span.end)))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _payload(self, span: ByteRange, hole: ByteRange) -> bytes:
        if self._look_left > 0 and not self._source.has(span):
            look = ByteRange(span.start, min(max(span.end, span.start + self._source.step_bytes), hole.end))
            self._source.read([look])
            self._look_left -= len(look)
        return self._source.at_hand(span)

    def _walk(self, end: int) -> None:
        """Finds the boxes that begin before `end`. Raises VideoTooLarge where they promise too many samples."""
        size_of_file = self._source.size
        while self._walked < min(end, size_of_file - 8):
            self._boxes += 1
            if self._boxes > _MOST_BOXES:
                return
            start = self._walked
            size, kind = _HEADER.unpack(self._source.ahead(start, 8))
            header = 8
            if size == 1 and start + 16 <= size_of_file:
                (size,) = _LARGE.unpack(self._source.ahead(start + 8, 8))
                header = 16
            elif size == 0:  # up to the end of the file
                size = size_of_file - start
            if size < header:
                self._walked = size_of_file  # no box at all: the rest is read as it is
                return
            if kind == b"mdat":
                if size > self._source.step_bytes or self._source.content is not None:
                    self._holes.append(ByteRange(start + header, min(start + size, size_of_file)))
            elif size <= _LARGEST_INDEX:
                box = super()._bytes(ByteRange(start, min(start + size, size_of_file)))
                if kind in (b"moov", b"moof"):
                    self._promised += promised_samples(box)
                    if self._promised > _MOST_PROMISED:
                        raise VideoTooLarge.past("max_promised_samples", _MOST_PROMISED, self._promised)
                if kind == b"sidx":
                    self._fetch_indexed(box, start + size)
            self._walked = start + size

    def _fetch_indexed(self, sidx: bytes, end: int) -> None:
        """Fetches the beginnings of all segments that a `sidx` box names, at once; `end` is where that box ends."""
        if len(sidx) < 36:
            return
        first_offset_at, form = (28, ">Q") if sidx[8] else (24, ">I")
        (first_offset,) = struct.unpack_from(form, sidx, first_offset_at)
        at = first_offset_at + struct.calcsize(form)
        if at + 4 > len(sidx):
            return
        (count,) = struct.unpack_from(">H", sidx, at + 2)
        starts = []
        place = end + first_offset
        for entry in range(at + 4, min(at + 4 + 12 * count, len(sidx) - 11), 12):
            (reference,) = struct.unpack_from(">I", sidx, entry)
            starts.append(place)
            place += reference & 0x7FFFFFFF
        size, step = self._source.size, self._source.step_bytes
        self._source.read([ByteRange(start, min(start + step, size)) for start in starts if start < size])
