"""A video in a local file, read by range."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from wildgate_server.errors import FetchFailed, UriNotFound, VideoTooLarge
from wildgate_server.source.byte_source import ByteRange, ByteSource, ReadingBounds
from wildgate_server.source.video_source import VideoSource

__all__ = ["VideoFile"]

# Reading from the page cache costs little per call; the kernel reads 4 KiB at least.
_BOUNDS = ReadingBounds(step_bytes=8 << 10, max_gap_bytes=4 << 10, max_requests=1 << 16)


@dataclass(frozen=True, slots=True)
class VideoFile(VideoSource):
    """A local file that may be read."""

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
        except (FileNotFoundError, NotADirectoryError):
            raise UriNotFound("there is no file at the URI", field="uri") from None
        except PermissionError:
            raise UriNotFound("this server may not read the file at the URI", field="uri") from None
        except OSError as error:
            raise _unreadable(error) from None
        with file:
            size, _ = version = _version_of(file)
            if size > max_bytes:
                raise VideoTooLarge.past("max_bytes", max_bytes, size)
            yield ByteSource(size, partial(_fetched, file, version), _BOUNDS)


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


def _unreadable(error: OSError) -> FetchFailed:
    return FetchFailed(f"the file cannot be read: {error.strerror}", field="uri")
