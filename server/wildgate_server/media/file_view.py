"""A media file as FFmpeg reads it: a seekable file on a byte source."""

from __future__ import annotations

import io

from wildgate_server.source.byte_source import ByteRange, ByteSource

__all__ = ["FileView"]

_LARGEST_READ_AHEAD = 8 << 20


class FileView(io.RawIOBase):
    """A seekable file on `source`, fetched as it is read.

    Each read fetches twice as much ahead as the one before, so that reading all of it takes few requests.
    """

    def __init__(self, source: ByteSource) -> None:
        super().__init__()
        self._source = source
        self._at = 0
        self._read_ahead = source.step_bytes

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The place of the next read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves the place of the next read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._source.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        end = self._source.size if size < 0 else min(self._at + size, self._source.size)
        start, self._at = self._at, max(self._at, end)
        return self._bytes(ByteRange(start, end)) if start < end else b""

    def _bytes(self, span: ByteRange) -> bytes:
        if not self._source.has(span):
            ahead = min(max(span.end, span.start + self._read_ahead), self._source.size)
            self._source.read([ByteRange(span.start, ahead)])
            self._read_ahead = min(2 * self._read_ahead, _LARGEST_READ_AHEAD)
        return self._source.at_hand(span)
