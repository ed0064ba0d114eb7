"""What all sources of a video have in common: parsed and checked once in the gateway, opened in a worker."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from wildgate_server.source.byte_source import ByteSource
from wildgate_server.source.shared_content import SharedSlot

__all__ = ["OpenableVideo", "VideoSource"]


class OpenableVideo(Protocol):
    """A video as a sampling worker is given it: something that can be pickled, and opened there."""

    @property
    def content_digest(self) -> str | None:
        """`blake3:<hex>` of the media file where that is known; None for what lies elsewhere."""
        return None

    def opened(self, max_bytes: int) -> AbstractContextManager[ByteSource]:
        """The bytes of the video, to be read by range.

        Raises VideoTooLarge for a video of more than `max_bytes`, UriNotAllowed, UriNotFound and FetchFailed.
        """


class VideoSource(OpenableVideo, Protocol):
    """Where the bytes of one video lie: parsed and checked once, then handed on to a sampling worker."""

    @property
    def kind(self) -> str:
        """What metrics call it: content, file, http, s3 or gs (https is http)."""

    @property
    def key(self) -> str:
        """The same for requests about the same place, or about equal content once its digest is known."""

    @property
    def origin(self) -> str | None:
        """The host or bucket that reading it waits for: such sources have workers of their own."""
        return None

    async def for_worker(self, slot: SharedSlot) -> OpenableVideo:
        """What to send to the worker that shares `slot`: itself, but content is put into the slot. Raises OSError."""
        return self
