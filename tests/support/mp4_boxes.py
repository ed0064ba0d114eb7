"""Changes to MP4 files that no muxer makes on request: display matrix, edit list, composition offsets.

Box layouts: ISO/IEC 14496-12, 8.3.2 (tkhd), 8.6.1.3 (ctts), 8.6.6 (elst).
"""

from __future__ import annotations

import struct

_ONE = 0x10000


def matrix_of(rotation: int, mirrored: bool = False) -> tuple[int, ...]:
    """The display matrix that mirrors on request, and then turns by `rotation` degrees counter-clockwise."""
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[rotation]
    x = -_ONE if mirrored else _ONE
    return (cos * x, -sin * x, 0, sin * _ONE, cos * _ONE, 0, 0, 0, 1 << 30)


def turned(mp4: bytes, rotation: int, mirrored: bool = False) -> bytes:
    """The video with the display matrix that mirrors and turns it so."""
    return _with_matrix(mp4, matrix_of(rotation, mirrored))


def flattened(mp4: bytes) -> bytes:
    """The video with a display matrix of zeros, which turns nothing."""
    return _with_matrix(mp4, (0,) * 9)


def _with_matrix(mp4: bytes, matrix: tuple[int, ...]) -> bytes:
    changed = bytearray(mp4)
    box = mp4.index(b"tkhd") + 4
    struct.pack_into(">9i", changed, box + (52 if mp4[box] else 40), *matrix)
    return bytes(changed)


def starting_at(mp4: bytes, media_time: int) -> bytes:
    """The video with its edit list beginning `media_time` ticks into the track."""
    changed = bytearray(mp4)
    box = mp4.index(b"elst") + 4
    assert mp4[box] == 0, "version 0: 32-bit times"
    assert struct.unpack_from(">I", mp4, box + 4) == (1,), "one entry"
    struct.pack_into(">i", changed, box + 12, media_time)
    return bytes(changed)


def start_of(mp4: bytes) -> int:
    """Where the edit list begins, in ticks of the track."""
    (media_time,) = struct.unpack_from(">i", mp4, mp4.index(b"elst") + 16)
    return int(media_time)


def earlier(mp4: bytes, ticks: int) -> bytes:
    """The video without edit list and with all presentation times `ticks` earlier, which may make them negative."""
    changed = bytearray(mp4.replace(b"edts", b"free"))
    box = mp4.index(b"ctts") + 4
    changed[box] = 1  # signed offsets
    (entries,) = struct.unpack_from(">I", mp4, box + 4)
    for at in range(box + 12, box + 12 + 8 * entries, 8):
        (offset,) = struct.unpack_from(">i", mp4, at)
        struct.pack_into(">i", changed, at, offset - ticks)
    return bytes(changed)
