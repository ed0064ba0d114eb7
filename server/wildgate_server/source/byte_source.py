"""Where a video may lie, and how it is opened there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

from wildgate_server.errors import VideoTooLarge
from wildgate_server.source.byte_ranges import ByteSource, MemorySource
from wildgate_server.source.local_file import VideoFile
from wildgate_server.source.remote_object import RemoteObject
from wildgate_server.source.shared_content import SharedContent

__all__ = ["VideoSource", "open_source"]

VideoSource: TypeAlias = bytes | SharedContent | VideoFile | RemoteObject


@contextmanager
def open_source(source: VideoSource, max_bytes: int) -> Iterator[ByteSource]:
    """The bytes of a video, to be read by range.

    Raises VideoTooLarge for a video of more than `max_bytes`, UriNotAllowed, UriNotFound and FetchFailed.
    """
    if isinstance(source, VideoFile | RemoteObject):
        with source.opened(max_bytes) as file:
            yield file
        return
    size = len(source) if isinstance(source, bytes) else source.size
    if size > max_bytes:
        raise VideoTooLarge.past("max_bytes", max_bytes, size)
    if isinstance(source, bytes):
        yield MemorySource(source)
        return
    with source.opened() as content:
        yield MemorySource(content)
