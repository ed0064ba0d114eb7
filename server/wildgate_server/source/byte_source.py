"""A media file read by range: what was read is kept, what is near is read together, and all of it is bounded."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from time import perf_counter
from typing import TypeAlias

from wildgate_server.errors import FetchFailed, VideoTooLarge, WildgateError

__all__ = ["ByteRange", "ByteSource", "Fetch", "ReadingBounds", "merged"]

_start_of = attrgetter("start")


@dataclass(frozen=True, slots=True, order=True)
class ByteRange:
    """Bytes from `start` up to, not including, `end`."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class ReadingBounds:
    """How a file is read in parts.

    A reader that does not know what it needs gets `step_bytes` at once; needs at most `max_gap_bytes` apart are read
    together; after `max_requests` requests, whatever is needed next is read up to the end of the file, as one.
    """

    step_bytes: int
    max_gap_bytes: int
    max_requests: int


Fetch: TypeAlias = Callable[[Sequence[ByteRange]], list[bytes] | bytes]
"""Reads each of the ranges or, where these cannot be relied on, all of the file.

Raises FetchFailed, UriNotFound or VideoTooLarge.
"""


class ByteSource:
    """A media file of `size` bytes, read by `fetch`; `head` is its beginning, where that was read to learn the size.

    `content` is the whole file where that was the head, else None. `step_bytes` is how much to ask for where it is
    not known what is needed. What reading has cost so far: `read_bytes` (all of them for content), `read_requests`
    (none for content), and `waited_s`, seconds spent waiting.
    """

    def __init__(self, size: int, fetch: Fetch, bounds: ReadingBounds, head: bytes | memoryview = b"") -> None:
        self._fetch = fetch
        self._bounds = bounds
        self._spans: list[ByteRange] = []  # ascending, apart; neighbours that touch stay two
        self._parts: list[memoryview] = []
        self._failure: WildgateError | None = None
        self.content = memoryview(head) if len(head) == size else None
        self.size = size
        self.step_bytes = bounds.step_bytes
        self.read_bytes = self.read_requests = 0
        self.waited_s = 0.0
        if head:
            self.read_requests = 1
            self._keep(ByteRange(0, len(head)), head)

    @classmethod
    def of_content(cls, content: bytes | memoryview, max_bytes: int) -> ByteSource:
        """A media file that is in memory. Raises VideoTooLarge past `max_bytes`."""
        size = len(content)
        if size > max_bytes:
            raise VideoTooLarge.past("max_bytes", max_bytes, size)
        source = cls(size, lambda spans: [], ReadingBounds(size, 0, 0), content)
        source.read_requests = 0
        return source

    def read(self, ranges: Sequence[ByteRange]) -> list[memoryview]:
        """The bytes of each range, which lie within the file; not copied, if that can be.

        Raises FetchFailed, UriNotFound or VideoTooLarge.
        """
        if missing := [piece for span in ranges for piece in self._missing(span)]:
            self._read(missing)
        return [self._joined(span) for span in ranges]

    def check(self) -> None:
        """Raises what reading failed with, if it did, even where the reader took that for the end of the file."""
        if self._failure is not None:
            raise self._failure

    def has(self, span: ByteRange) -> bool:
        """Whether the bytes of a range were read already."""
        return not self._missing(span)

    def at_hand(self, span: ByteRange) -> bytes:
        """The bytes of a range as far as they were read, zeros for the others; fetches nothing."""
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

    def ahead(self, start: int, length: int) -> bytes:
        """Bytes from `start` on, up to the end of the file; where they have to be read, a whole step is."""
        span = ByteRange(start, min(start + length, self.size))
        if not self.has(span):
            self.read([ByteRange(start, min(start + max(length, self.step_bytes), self.size))])
        return self.at_hand(span)

    def _read(self, missing: Sequence[ByteRange]) -> None:
        spans = [
            piece for run in merged(missing, self._bounds.max_gap_bytes) for piece in self._missing(run) if len(piece)
        ]
        if self.read_requests + len(spans) > self._bounds.max_requests:
            spans = self._missing(ByteRange(spans[0].start, self.size))
        self.check()
        started = perf_counter()
        try:
            contents = self._fetch(spans)
            if isinstance(contents, bytes):
                self._keep_whole(contents)
                return
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

    def _keep_whole(self, content: bytes) -> None:
        """Goes on with the whole file, of which what was read so far has to be a part: never a mixture of two."""
        self.read_requests += 1
        self.read_bytes += len(content)
        known = zip(self._spans, self._parts, strict=True)
        if len(content) != self.size or any(content[span.start : span.end] != part for span, part in known):
            raise FetchFailed("the file changed while it was read", field="uri", retry_after_s=1.0)
        self._spans, self._parts = [ByteRange(0, self.size)], [memoryview(content)]

    def _within(self, span: ByteRange) -> list[tuple[ByteRange, memoryview]]:
        """What is kept of a range, ascending."""
        first = max(bisect_right(self._spans, span.start, key=_start_of) - 1, 0)
        last = bisect_right(self._spans, span.end - 1, key=_start_of)
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
