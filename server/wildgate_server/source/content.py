"""A video whose bytes came with the request, and the digest that it is known by: `blake3:<hex>` of the whole file."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from blake3 import blake3

from wildgate_server.errors import InvalidRequest
from wildgate_server.source.byte_source import ByteSource
from wildgate_server.source.shared_content import SharedContent, SharedSlot
from wildgate_server.source.video_source import VideoSource

__all__ = ["CONTENT_DIGEST", "Content", "checked_digest", "content_digest", "digest_aside"]

CONTENT_DIGEST = "blake3:"
"""What the digest of a whole media file begins with."""

_DIGEST = re.compile(rf"{CONTENT_DIGEST}[0-9a-f]{{64}}")
# From these sizes on a thread does it, which costs 0.03 to 0.1 ms.
_DIGEST_ASIDE_BYTES = 1 << 20  # takes 0.3 ms
_COPY_ASIDE_BYTES = 8 << 20  # takes 0.2 ms


@dataclass(frozen=True, slots=True)
class Content(VideoSource):
    """A video's bytes in this process, freed with the last reference to it."""

    content: bytes = field(repr=False)
    content_digest: str | None = None
    kind = "content"

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


def content_digest(content: bytes) -> str:
    """The digest of a whole media file."""
    return f"{CONTENT_DIGEST}{blake3(content).hexdigest()}"


async def digest_aside(content: bytes) -> str:
    """The same, in a thread where it takes long: blake3 lets go of the interpreter, so the event loop runs on."""
    if len(content) <= _DIGEST_ASIDE_BYTES:
        return content_digest(content)
    return await asyncio.to_thread(content_digest, content)


def checked_digest(text: str) -> str:
    """A digest that a caller gave. Raises InvalidRequest unless it can be that of a whole media file."""
    if not _DIGEST.fullmatch(text):
        raise InvalidRequest(
            f"content_digest is {text[:80]!r}, not blake3:<64 hexadecimal digits, lower case>", field="content_digest"
        )
    return text
