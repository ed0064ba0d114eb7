"""How many samples the tables of ISO media promise, summed before FFmpeg makes room for them.

A table of a dozen bytes can promise millions, in any track; FFmpeg keeps some 30 bytes for each and goes through all of
them for each edit. Boxes: ISO/IEC 14496-12, 8.6 (stts, ctts, elst), 8.7.3 (stsz, stz2), 8.8.8 (trun).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from sys import byteorder

__all__ = ["promised_samples"]

_HEADER = struct.Struct(">I4s")
_COUNT_AT = {b"stsz": 8, b"stz2": 8, b"trun": 4, b"elst": 4}
_RUNS = frozenset({b"stts", b"ctts"})
_CONTAINERS = frozenset({b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"mvex"})
_LEAST_EDIT_BYTES = 12
# FFmpeg reads plain sound, whose samples last a tick each, by chunks of about as many.
_PLAIN_SOUND_AT_ONCE = 1024


def promised_samples(box: bytes | memoryview) -> int:
    """The samples that a `moov` or `moof` box promises in all its tracks, each as often as it is edited."""
    return sum(_of_track(content) for kind, content in _boxes(memoryview(box)) if kind in (b"trak", b"traf"))


def _of_track(track: memoryview) -> int:
    sizes = runs = plain = 0
    edits, is_sound = 1, False
    for kind, content in _boxes(track):
        if kind == b"hdlr":
            is_sound = bytes(content[8:12]) == b"soun"
        elif kind == b"elst":
            edits = max(edits, min(_number(content, _COUNT_AT[kind]), len(content) // _LEAST_EDIT_BYTES))
        elif kind == b"stsz" and not _number(content, 4):  # a size each: a table that is not there is a broken one
            sizes += min(_number(content, _COUNT_AT[kind]), len(content) // 4)
        elif kind in _COUNT_AT:
            sizes += _number(content, _COUNT_AT[kind])
        elif kind in _RUNS:
            entries = array("I", bytes(content[8 : 8 + 8 * _number(content, 4)][: len(content) - 8 & ~7]))
            if byteorder == "little":
                entries.byteswap()
            runs = max(runs, sum(entries[::2]))
            plain = plain or (kind == b"stts" and len(entries) == 2 and entries[1] == 1)
    samples = max(sizes, runs)
    return edits * (samples // _PLAIN_SOUND_AT_ONCE if is_sound and plain else samples)


def _boxes(content: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """All boxes in `content`, those that hold others followed by these."""
    at = 0
    while at + 8 <= len(content):
        size, kind = _HEADER.unpack_from(content, at)
        start, end = at + 8, at + size if size else len(content)
        if size == 1 and at + 16 <= len(content):
            start, end = at + 16, at + int.from_bytes(content[at + 8 : at + 16], "big")
        if end < start:
            return
        yield kind, content[start:end]
        if kind in _CONTAINERS:
            yield from _boxes(content[start:end])
        at = end


def _number(content: memoryview, at: int) -> int:
    return int.from_bytes(content[at : at + 4], "big")
