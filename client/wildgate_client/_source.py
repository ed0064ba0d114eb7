"""Where a video comes from, and reading local files before they are sent.

A plain `str` is not a source: it could mean a path on this machine or a URI that the server reads.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import grpc

from wildgate_client.errors import InvalidVideo, SourceUnreadable

__all__ = ["Content", "PlatformContext", "Source", "StreamItem", "Uri", "check_size", "read_source", "reading"]


@dataclass(frozen=True, slots=True)
class Content:
    """The whole media file, in memory."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Uri:
    """A URI for the server to read, such as `https://...` or `s3://...`; its configuration says which it may."""

    value: str

    def __post_init__(self) -> None:
        if ":" not in self.value:
            raise ValueError(f"Uri: {self.value!r} has no scheme; a file on this machine is a pathlib.Path")


Source: TypeAlias = Content | Uri | Path
"""`Path`: a file on this machine, read only when it is about to be sent, as content."""


@dataclass(frozen=True, slots=True)
class PlatformContext:
    """What a platform knows of where it shows a video: handed on with a case, and no part of the verdict.

    `account` and `listing` are its own references, at most 512 characters each. `language` is BCP 47, such as "es".
    `views` is how often the video was shown, `disseminating` whether it is shown on while a case waits.
    """

    account: str = ""
    listing: str = ""
    language: str = ""
    views: int = 0
    disseminating: bool = False


@dataclass(frozen=True, slots=True)
class StreamItem:
    """One video of a stream; `video_id` is the caller's own name for it and comes back with its result."""

    video_id: str
    source: Source
    context: PlatformContext | None = None


async def read_source(source: Source, *, max_content_bytes: int) -> Content | Uri:
    """The source as it is sent: a path becomes its content.

    Raises `SourceUnreadable` if the file cannot be read, `InvalidVideo` (VIDEO_TOO_LARGE) if it is over the limit, and
    `TypeError` if this is not a `Source`.
    """
    match source:
        case Uri():
            return source
        case Content():
            check_size(source, max_content_bytes)
            return source
        case Path():
            return await asyncio.to_thread(_read_file, source, max_content_bytes)
        case _:
            raise TypeError(f"a source is Content(bytes), Uri(str) or pathlib.Path, not {type(source).__name__}")


def check_size(source: Content | Path, max_content_bytes: int) -> None:
    """Raises `InvalidVideo` (VIDEO_TOO_LARGE) over the limit, `SourceUnreadable` if there is no such file."""
    if isinstance(source, Content):
        size = len(source.data)
    else:
        with reading(source):
            size = source.stat().st_size
    if size > max_content_bytes:
        raise InvalidVideo(
            f"the client's max_content_bytes is {max_content_bytes}, the video has {size}",
            code=grpc.StatusCode.INVALID_ARGUMENT,
            reason="VIDEO_TOO_LARGE",
            metadata={"limit": "max_content_bytes", "max": str(max_content_bytes), "value": str(size)},
            field="source",
        )


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns an `OSError` about `path` into `SourceUnreadable`."""
    try:
        yield
    except OSError as error:
        raise SourceUnreadable(f"{path}: {error.strerror or error}", code=None, reason="SOURCE_UNREADABLE") from error


def _read_file(path: Path, max_content_bytes: int) -> Content:
    check_size(path, max_content_bytes)
    with reading(path), path.open("rb") as file:
        content = Content(file.read(max_content_bytes + 1))  # no more, should it have grown meanwhile
    check_size(content, max_content_bytes)
    return content
