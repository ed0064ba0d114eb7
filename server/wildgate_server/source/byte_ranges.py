"""Ranges of bytes in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ByteRange", "merged"]


@dataclass(frozen=True, slots=True, order=True)
class ByteRange:
    """Bytes from `start` up to, not including, `end`."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


def merged(ranges: Sequence[ByteRange], max_gap: int) -> list[ByteRange]:
    """Ascending ranges that cover `ranges`; neighbours at most `max_gap` bytes apart are one.

    A request costs a round trip, in which `max_gap` more bytes would have come too.
    """
    result: list[ByteRange] = []
    for span in sorted(ranges):
        if result and span.start <= result[-1].end + max_gap:
            result[-1] = ByteRange(result[-1].start, max(result[-1].end, span.end))
        else:
            result.append(span)
    return result
