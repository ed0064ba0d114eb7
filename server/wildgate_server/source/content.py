"""A video whose bytes came with the request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from wildgate_server.source.byte_source import ByteSource
from wildgate_server.source.content_digest import digest_aside
from wildgate_server.source.shared_content import SharedContent, SharedSlot

__all__ = ["Content"]

_COPY_ASIDE_BYTES = 8 << 20  # a thread costs 0.1 ms, as copying 4 MB does


@dataclass(frozen=True, slots=True)
class Content:
    """A video's bytes in this process, freed with the last reference to it."""

    content: bytes = field(repr=False)
    content_digest: str | None = None
    kind = "content"
    is_remote = False

    @property
    def key(self) -> str:
        """The digest. Raises ValueError where it is not known yet."""
        if self.content_digest is None:
            raise ValueError("content has no key before it is identified")
        return self.content_digest

    async def identified(self) -> Content:
        """The same content with its digest, computed in a thread where that takes long."""
        return self if self.content_digest else replace(self, content_digest=await digest_aside(self.content))

    @contextmanager
    def opened(self, max_bytes: int) -> Iterator[ByteSource]:
        """The bytes, not copied. Raises VideoTooLarge past `max_bytes`."""
        yield ByteSource.of_content(self.content, max_bytes)

    async def for_worker(self, slot: SharedSlot) -> SharedContent:
        """The content in the slot, with its digest: what a verdict is kept under is never a worker's word."""
        content = await self.identified()
        if len(self.content) <= _COPY_ASIDE_BYTES:
            return slot.put(content.content, content.key)
        return await asyncio.to_thread(slot.put, content.content, content.key)
