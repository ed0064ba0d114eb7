"""The digest by which a server knows content. Python's library has no BLAKE3: it comes with an extra."""

from __future__ import annotations

from pathlib import Path

from wildgate_client._source import Content, reading

__all__ = ["content_digest"]


def content_digest(source: Content | Path) -> str:
    """The digest of a whole media file, in the form of `Verdict.content_digest`; a file is not loaded into memory.

    Blocks for about 0.3 ms per MB. Raises `SourceUnreadable` if the file cannot be read, and `ModuleNotFoundError`,
    saying what to install, if blake3 is missing: without it, take the digest from where the video was stored.
    """
    try:
        from blake3 import blake3
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "digests need blake3; install it with: pip install 'wildgate-client[digest]'", name=missing.name
        ) from None
    if isinstance(source, Content):
        return f"blake3:{blake3(source.data).hexdigest()}"
    with reading(source):
        return f"blake3:{blake3().update_mmap(source).hexdigest()}"
