"""A video in a local file, read by range."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from wildgate_server.errors import FetchFailed, UriNotAllowed, UriNotFound, VideoTooLarge, WildgateError
from wildgate_server.source.beneath import open_beneath
from wildgate_server.source.byte_source import ByteRange, ByteSource, ReadingBounds
from wildgate_server.source.shared_content import SharedSlot, lent_descriptor
from wildgate_server.source.video_source import OpenableVideo, VideoSource

__all__ = ["OUTSIDE", "LentFile", "RootedFile", "VideoFile"]

OUTSIDE = "the file is outside the directories that may be read"

# Reading from the page cache costs little per call; the kernel reads 4 KiB at least.
_BOUNDS = ReadingBounds(step_bytes=8 << 10, max_gap_bytes=4 << 10, max_requests=1 << 16)


@dataclass(frozen=True, slots=True)
class VideoFile(VideoSource):
    """A local file of the operator's own, wherever it lies."""

    path: Path
    kind = "file"

    @property
    def key(self) -> str:
        """The file's URI."""
        return f"file://{self.path}"

    @contextmanager
    def opened(self, max_bytes: int) -> Iterator[ByteSource]:
        """The file, to be read in parts.

        Raises UriNotFound, FetchFailed, or VideoTooLarge for a file of more than `max_bytes`, unread.
        """
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise _not_opened(error) from None
        with file:
            yield _read_in_parts(file, max_bytes)


@dataclass(frozen=True, slots=True)
class RootedFile(VideoSource):
    """A file below a directory that callers may read from; opened in the gateway, so that workers need no paths.

    `relative` has no `..` in it; symbolic links are followed as long as they do not lead out of `root`.
    """

    root: Path
    relative: str
    kind = "file"

    @property
    def key(self) -> str:
        """The file's URI."""
        return f"file://{self.root / self.relative}"

    @contextmanager
    def opened(self, max_bytes: int) -> Iterator[ByteSource]:
        """The file, to be read in parts.

        Raises UriNotAllowed for what lies elsewhere, UriNotFound for what is no regular file, FetchFailed, or
        VideoTooLarge for a file of more than `max_bytes`, unread.
        """
        with os.fdopen(self._descriptor(), "rb") as file:
            yield _read_in_parts(file, max_bytes)

    async def for_worker(self, slot: SharedSlot) -> OpenableVideo:
        """The open file, lent by way of the slot; opened in a thread. Raises as `opened` does."""
        descriptor = await asyncio.to_thread(self._descriptor)
        try:
            return LentFile(slot.lend(descriptor))
        finally:
            os.close(descriptor)

    def _descriptor(self) -> int:
        try:
            return open_beneath(self.root, self.relative)
        except OSError as error:
            raise _not_opened(error) from None


@dataclass(frozen=True, slots=True)
class LentFile(OpenableVideo):
    """An open file that the gateway has lent to the worker, which finds it at the descriptor `channel`."""

    channel: int

    @contextmanager
    def opened(self, max_bytes: int) -> Iterator[ByteSource]:
        """The file, to be read in parts.

        Raises FetchFailed, or VideoTooLarge for a file of more than `max_bytes`, unread; OSError where nothing is lent.
        """
        with os.fdopen(lent_descriptor(self.channel), "rb") as file:
            yield _read_in_parts(file, max_bytes)


def _read_in_parts(file: BinaryIO, max_bytes: int) -> ByteSource:
    size, _ = version = _version_of(file)
    if size > max_bytes:
        raise VideoTooLarge.past("max_bytes", max_bytes, size)
    return ByteSource(size, partial(_fetched, file, version), _BOUNDS)


def _version_of(file: BinaryIO) -> tuple[int, int]:
    """Size and time of the last change, in nanoseconds."""
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns


def _fetched(file: BinaryIO, version: tuple[int, int], spans: Sequence[ByteRange]) -> list[bytes]:
    """Read, not mapped: so a file that is cut short at the same time is an error, not a crash."""
    contents: list[bytes] = []
    try:
        for span in spans:
            file.seek(span.start)
            contents.append(file.read(len(span)))
    except OSError as error:
        raise _unreadable(error) from None
    if _version_of(file) != version or sum(map(len, contents)) < sum(map(len, spans)):
        raise FetchFailed("the file changed while it was read", field="uri", retry_after_s=1.0)
    return contents


def _not_opened(error: OSError) -> WildgateError:
    match error.errno:
        case errno.EXDEV:
            return UriNotAllowed(OUTSIDE, metadata={"scheme": "file"}, field="uri")
        case errno.ENOENT | errno.ENOTDIR | errno.ELOOP | errno.ENAMETOOLONG:
            return UriNotFound("there is no file at the URI", field="uri")
        case errno.EACCES | errno.EPERM:
            return UriNotFound("this server may not read the file at the URI", field="uri")
        case _:
            return _unreadable(error)


def _unreadable(error: OSError) -> FetchFailed:
    return FetchFailed(f"the file cannot be read: {error.strerror}", field="uri")
