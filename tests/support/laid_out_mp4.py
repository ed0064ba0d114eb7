"""MP4 files whose tables are written by hand, to say what no muxer says. Boxes: ISO/IEC 14496-12, 8."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import av

_MATRIX = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


def box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def full(kind: bytes, flags: int, *parts: bytes) -> bytes:
    return box(kind, struct.pack(">I", flags), *parts)


@dataclass
class LaidOut:
    """A track: its sample entries, and of each sample its bytes, kind, and the number of its entry, from 1.

    `away` are samples whose place is past the end of the file; the whole lot is named `repeated` times over.
    """

    entries: list[bytes]
    samples: list[tuple[bytes, bool, int]]
    side: int
    frame_ms: int = 100
    away: Sequence[int] = field(default_factory=list)
    repeated: int = 1

    @classmethod
    def of(cls, mp4: bytes) -> LaidOut:
        """The track of a file with one sample entry, of square pictures without B-frames."""
        start = mp4.index(b"stsd") - 4
        (length,) = struct.unpack_from(">I", mp4, start)
        with av.open(io.BytesIO(mp4), "r") as container:
            stream = container.streams.video[0]
            samples = [(bytes(packet), packet.is_keyframe, 1) for packet in container.demux(stream) if packet.size]
            return cls([mp4[start + 16 : start + length]], samples, stream.width)

    def file(self) -> bytes:
        head = box(b"ftyp", b"isom", bytes(4), b"isomavc1")
        index = self._index(0)
        payload = b"".join(data for data, _, _ in self.samples)
        return head + self._index(len(head) + len(index) + 8) + box(b"mdat", payload)

    def _index(self, offset: int) -> bytes:
        offsets = []
        for place, (data, _, _) in enumerate(self.samples):
            offsets.append((1 << 31) - 256 if place in self.away else offset)
            offset += len(data)
        count = len(self.samples) * self.repeated
        length = count * self.frame_ms
        keys = [at + 1 for at, (_, is_key, _) in enumerate(self.samples) if is_key]
        chunks = [(at + 1, entry) for at, (_, _, entry) in enumerate(self.samples)]
        table = box(
            b"stbl",
            full(b"stsd", 0, struct.pack(">I", len(self.entries)), *self.entries),
            full(b"stts", 0, struct.pack(">3I", 1, count, self.frame_ms)),
            full(b"stss", 0, _array([len(keys)], keys)),
            full(b"stsc", 0, _array([len(chunks)], *((at, 1, entry) for at, entry in chunks))),
            full(b"stsz", 0, _array([0, count], *[[len(data) for data, _, _ in self.samples]] * self.repeated)),
            full(b"stco", 0, _array([count], *[offsets] * self.repeated)),
        )
        media = box(
            b"minf",
            full(b"vmhd", 1, bytes(8)),
            box(b"dinf", full(b"dref", 0, struct.pack(">I", 1), full(b"url ", 1))),
            table,
        )
        return box(
            b"moov",
            full(b"mvhd", 0, struct.pack(">8xIIIH10x", 1000, length, 1 << 16, 256), _MATRIX, bytes(24), b"\0\0\0\2"),
            box(
                b"trak",
                full(
                    b"tkhd",
                    3,
                    struct.pack(">8xI4xI16x", 1, length),
                    _MATRIX,
                    struct.pack(">II", self.side << 16, self.side << 16),
                ),
                box(
                    b"mdia",
                    full(b"mdhd", 0, struct.pack(">8xIIHH", 1000, length, 0x55C4, 0)),
                    full(b"hdlr", 0, bytes(4), b"vide", bytes(13)),
                    media,
                ),
            ),
        )


def _array(*parts: Sequence[int]) -> bytes:
    numbers = [number for part in parts for number in part]
    return struct.pack(f">{len(numbers)}I", *numbers)
