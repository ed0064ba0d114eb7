"""A video in a local file, read by range."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wildgate_server.errors import FetchFailed, UriNotFound, VideoTooLarge
from wildgate_server.source.byte_ranges import ByteRange
from wildgate_server.source.byte_source import ByteSource, ReadingBounds
from wildgate_server.source.shared_content import SharedSlot

__all__ = ["VideoFile"]

# Reading from the page cache costs little per call; the kernel reads 4 KiB at least.
_BOUNDS = ReadingBounds(step_bytes=8 << 10, max_gap_bytes=4 << 10, max_requests=1 << 16)


@dataclass(frozen=True, slots=True)
class VideoFile:
    """A local file that may be read."""

    path: Path
    kind = "file"
    is_remote = False
    content_digest = None

    @property
    def key(self) -> str:
        """The file's URI."""
        return f"file://{self.path}"

    async def for_worker(self, slot: SharedSlot) -> VideoFile:
        """The same: the worker opens the file."""
        return self

    @contextmanager
    def opened(self, max_bytes: int) -> Iterator[ByteSource]:
        """The file, to be read in parts.

        Raises UriNotFound, FetchFailed, or VideoTooLarge for a file of more than `max_bytes`, unread.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise UriNotFound("no file lies at the URI", field="uri") from None
        except OSError as error:
            raise _unreadable(error) from None
        try:
            size = os.fstat(descriptor).st_size
            if size > max_bytes:
                raise VideoTooLarge.past("max_bytes", max_bytes, size)
            yield ByteSource(size, partial(_fetched, descriptor), _BOUNDS)
        finally:
            os.close(descriptor)


def _fetched(descriptor: int, spans: Sequence[ByteRange]) -> list[bytes]:
    """By pread, not a mapping: a file that is cut short meanwhile is an error then, not a crash."""
    try:
        return [_span(descriptor, span) for span in spans]
    except OSError as error:
        raise _unreadable(error) from None


def _span(descriptor: int, span: ByteRange) -> bytes:
    parts: list[bytes] = []
    at = span.start
    while at < span.end:
        part = os.pread(descriptor, span.end - at, at)
        if not part:
            raise FetchFailed("the file was cut short while it was read", field="uri")
        parts.append(part)
        at += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _unreadable(error: OSError) -> FetchFailed:
    return FetchFailed(f"the file cannot be read: {error.strerror}", field="uri")
