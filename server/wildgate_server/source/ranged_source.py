"""A media file that is read in parts: what was read is kept, what is near is read together, all of it is bounded."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from wildgate_server.errors import WildgateError
from wildgate_server.source.byte_ranges import ByteRange, merged

__all__ = ["RangeReader", "RangedSource", "ReadingBounds"]


@dataclass(frozen=True, slots=True)
class ReadingBounds:
    """How a file is read in parts.

    A reader that does not know what it needs gets `step_bytes` at once; needs at most `max_gap_bytes` apart are read
    together; after `max_requests` requests, whatever is needed next is read up to the end of the file, as one.
    """

    step_bytes: int
    max_gap_bytes: int
    max_requests: int


class RangeReader(Protocol):
    """Where the bytes lie."""

    @property
    def size(self) -> int:
        """Bytes of the whole file."""

    def fetch(self, spans: Sequence[ByteRange]) -> Sequence[bytes | memoryview]:
        """The bytes of each range; raises FetchFailed, UriNotFound or VideoTooLarge."""


class RangedSource:
    """A `ByteSource` on `reader`; `head` is the beginning of the file, where it was read to learn the size."""

    def __init__(self, reader: RangeReader, bounds: ReadingBounds, head: bytes = b"", waited_s: float = 0.0) -> None:
        self._reader = reader
        self._bounds = bounds
        self._spans: list[ByteRange] = []  # ascending, apart; neighbours that touch stay two
        self._parts: list[memoryview] = []
        self._failure: WildgateError | None = None
        self.content: memoryview | None = None
        self.size = reader.size
        self.step_bytes = bounds.step_bytes
        self.read_bytes = 0
        self.read_requests = 0
        self.waited_s = waited_s
        if head:
            self.read_requests = 1
            self._keep(ByteRange(0, len(head)), head)

    def read(self, ranges: Sequence[ByteRange]) -> list[memoryview]:
        """The bytes of each range, which lie within the file."""
        missing = [piece for span in ranges for piece in self._missing(span)]
        if missing:
            self._fetch(missing)
        return [self._joined(span) for span in ranges]

    def check(self) -> None:
        """Raises what reading failed with, if it did."""
        if self._failure is not None:
            raise self._failure

    def has(self, span: ByteRange) -> bool:
        """Whether the bytes of a range were read already."""
        return not self._missing(span)

    def at_hand(self, span: ByteRange) -> bytes:
        """The bytes of a range as far as they were read, zeros for the others."""
        pieces: list[memoryview | bytes] = []
        at = span.start
        for known, part in self._within(span):
            start, end = max(known.start, span.start), min(known.end, span.end)
            if at < start:
                pieces.append(bytes(start - at))
            pieces.append(part[start - known.start : end - known.start])
            at = end
        if at < span.end:
            pieces.append(bytes(span.end - at))
        return b"".join(pieces)

    def _fetch(self, missing: Sequence[ByteRange]) -> None:
        spans = [
            piece for run in merged(missing, self._bounds.max_gap_bytes) for piece in self._missing(run) if len(piece)
        ]
        if self.read_requests + len(spans) > self._bounds.max_requests:
            spans = self._missing(ByteRange(spans[0].start, self.size))
        self.check()
        started = perf_counter()
        try:
            contents = self._reader.fetch(spans)
        except WildgateError as failure:
            self._failure = failure  # FFmpeg may take a failed read for the end of the file, and go on elsewhere
            raise
        finally:
            self.waited_s += perf_counter() - started
        self.read_requests += len(spans)
        for span, content in zip(spans, contents, strict=True):
            self._keep(span, content)

    def _keep(self, span: ByteRange, content: bytes | memoryview) -> None:
        at = bisect_right(self._spans, span)
        self._spans.insert(at, span)
        self._parts.insert(at, memoryview(content))
        self.read_bytes += len(content)

    def _within(self, span: ByteRange) -> list[tuple[ByteRange, memoryview]]:
        """What is kept of a range, ascending."""
        first = max(bisect_right(self._spans, span.start, key=_start) - 1, 0)
        last = bisect_right(self._spans, span.end - 1, key=_start)
        kept = zip(self._spans[first:last], self._parts[first:last], strict=True)
        return [(known, part) for known, part in kept if known.end > span.start]

    def _missing(self, span: ByteRange) -> list[ByteRange]:
        missing: list[ByteRange] = []
        at = span.start
        for known, _ in self._within(span):
            if at < known.start:
                missing.append(ByteRange(at, known.start))
            at = max(at, known.end)
        if at < span.end:
            missing.append(ByteRange(at, span.end))
        return missing

    def _joined(self, span: ByteRange) -> memoryview:
        kept = self._within(span)
        if len(kept) == 1:
            known, part = kept[0]
            return part[span.start - known.start : span.end - known.start]
        return memoryview(self.at_hand(span))


def _start(span: ByteRange) -> int:
    return span.start
