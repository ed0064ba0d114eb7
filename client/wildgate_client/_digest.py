"""The digest that a server knows content by. BLAKE3 is not in Python's own library: it comes with an extra."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wildgate_client._source import Content
from wildgate_client.errors import SourceUnreadable

if TYPE_CHECKING:
    from blake3 import blake3 as Blake3

__all__ = ["content_digest"]


def content_digest(source: Content | Path) -> str:
    """The digest of a whole media file, as `Verdict.content_digest` has it; a file is not held in memory.

    Blocks for about 0.3 ms per MB. Raises `SourceUnreadable` where the file cannot be read, and `ModuleNotFoundError`,
    saying what to install, where blake3 is missing: without it, take the digest from where the video was stored.
    """
    blake3 = _blake3()
    if isinstance(source, Content):
        return f"blake3:{blake3(source.data).hexdigest()}"
    try:
        return f"blake3:{blake3().update_mmap(source).hexdigest()}"
    except OSError as error:
        raise SourceUnreadable(f"{source}: {error.strerror or error}", code=None, reason="SOURCE_UNREADABLE") from error


def _blake3() -> type[Blake3]:
    try:
        from blake3 import blake3
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "digests need blake3; install it with: pip install 'wildgate-client[digest]'", name=missing.name
        ) from None
    return blake3
