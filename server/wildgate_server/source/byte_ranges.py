"""A media file as bytes that are read by range, wherever they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["ByteRange", "ByteSource", "MemorySource", "merged"]


@dataclass(frozen=True, slots=True, order=True)
class ByteRange:
    """Bytes from `start` up to, not including, `end`."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


class ByteSource(Protocol):
    """A media file whose bytes can be read by range.

    `size` is that of the whole file, in bytes. `step_bytes` is how much a reader that does not know what it needs asks
    for at once. What reading has cost so far: `read_bytes` and `read_requests`, and `waited_s`, seconds spent on it.
    """

    @property
    def size(self) -> int:
        """Bytes of the whole file."""

    @property
    def step_bytes(self) -> int:
        """How much to ask for at once where it is not known what is needed."""

    @property
    def read_bytes(self) -> int:
        """Bytes read from where the file lies; all of them where they are in memory already."""

    @property
    def read_requests(self) -> int:
        """How often something was asked for; never where the bytes are in memory already."""

    @property
    def waited_s(self) -> float:
        """Seconds spent waiting for bytes."""

    @property
    def content(self) -> memoryview | None:
        """The whole file where it is in memory anyway; None for one that is read in parts."""

    def read(self, ranges: Sequence[ByteRange]) -> list[memoryview]:
        """The bytes of each range, which lie within the file.

        Raises FetchFailed, UriNotFound or VideoTooLarge.
        """

    def check(self) -> None:
        """Raises what reading failed with, if it did, even where whoever read took that for the end of the file."""

    def has(self, span: ByteRange) -> bool:
        """Whether the bytes of a range were read already."""

    def at_hand(self, span: ByteRange) -> bytes:
        """The bytes of a range as far as they were read, zeros for the others; fetches nothing."""


class MemorySource:
    """A media file that is in memory already."""

    def __init__(self, content: bytes | memoryview) -> None:
        self.content = memoryview(content)
        self.size = len(self.content)
        self.step_bytes = self.size
        self.read_bytes = self.size
        self.read_requests = 0
        self.waited_s = 0.0

    def read(self, ranges: Sequence[ByteRange]) -> list[memoryview]:
        """The bytes of each range, not copied."""
        return [self.content[span.start : span.end] for span in ranges]

    def check(self) -> None:
        """Nothing can fail."""

    def has(self, span: ByteRange) -> bool:
        """True."""
        return True

    def at_hand(self, span: ByteRange) -> bytes:
        """The bytes of a range."""
        return bytes(self.content[span.start : span.end])


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
