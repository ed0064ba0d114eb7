"""Where a video's bytes come from, and what is asked about it.

A plain `str` is no source: it could be meant as a path on this machine or as a URI the server reads.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import grpc

from wildgate_client.errors import InvalidVideo, SourceUnreadable

__all__ = ["Content", "Source", "StreamItem", "Uri", "check_size", "read_source"]


@dataclass(frozen=True, slots=True)
class Content:
    """The whole media file, in memory."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Uri:
    """A URI that the server reads, such as `https://...` or `s3://...`, where it is allowed to."""

    value: str

    def __post_init__(self) -> None:
        if ":" not in self.value:
            raise ValueError(f"Uri: {self.value!r} has no scheme; a file on this machine is a pathlib.Path")


Source: TypeAlias = Content | Uri | Path
"""`Path`: a file on this machine, read when its turn comes and sent as content."""


@dataclass(frozen=True, slots=True)
class StreamItem:
    """One video of a stream; `video_id` is the caller's own name of it and comes back with its result."""

    video_id: str
    source: Source


def check_size(source: Content | Path, max_content_bytes: int) -> None:
    """Raises `InvalidVideo` (VIDEO_TOO_LARGE) past the limit and `SourceUnreadable` where there is no such file."""
    if isinstance(source, Content):
        _check_size(len(source.data), max_content_bytes)
        return
    try:
        size = source.stat().st_size
    except OSError as error:
        raise _unreadable(source, error) from error
    _check_size(size, max_content_bytes)


async def read_source(source: Source, *, max_content_bytes: int) -> Content | Uri:
    """The source as it is sent: a path becomes its content.

    Raises `SourceUnreadable` where the file cannot be read and `InvalidVideo` (VIDEO_TOO_LARGE) past the
    limit, before anything is sent; `TypeError` for anything that is no `Source`.
    """
    match source:
        case Uri():
            return source
        case Content():
            _check_size(len(source.data), max_content_bytes)
            return source
        case Path():
            return await asyncio.to_thread(_read_file, source, max_content_bytes)
        case _:
            raise TypeError(f"a source is Content(bytes), Uri(str) or pathlib.Path, not {type(source).__name__}")


def _read_file(path: Path, max_content_bytes: int) -> Content:
    try:
        with path.open("rb") as file:
            # One byte more than the limit tells that it is passed, whatever the file's size was a moment ago.
            data = file.read(max_content_bytes + 1)
            size = max(len(data), path.stat().st_size if len(data) > max_content_bytes else 0)
    except OSError as error:
        raise _unreadable(path, error) from error
    _check_size(size, max_content_bytes)
    return Content(data)


def _unreadable(path: Path, error: OSError) -> SourceUnreadable:
    return SourceUnreadable(f"{path}: {error.strerror or error}", code=None, reason="SOURCE_UNREADABLE")


def _check_size(size: int, max_content_bytes: int) -> None:
    if size > max_content_bytes:
        raise InvalidVideo(
            f"the client's max_content_bytes is {max_content_bytes}, the video has {size}",
            code=grpc.StatusCode.INVALID_ARGUMENT,
            reason="VIDEO_TOO_LARGE",
            metadata={"limit": "max_content_bytes", "max": str(max_content_bytes), "value": str(size)},
            field="source",
        )
