"""Content codings of HTTP (RFC 9110, 8.4.1), for hosts that send files encoded though they are asked not to."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain

from wildgate_server.errors import UriNotFound, VideoTooLarge

__all__ = ["codings_of", "decoded"]

# What browsers decode; they pass by any other name, such as "none", "utf-8" or "aws-chunked", and so do we.
_CODINGS = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress", "dcb", "dcz"})
_GZIP_BEGINS = b"\x1f\x8b"
_WBITS_GZIP, _WBITS_ZLIB, _WBITS_RAW = 31, 15, -15  # of zlib.decompressobj


def codings_of(field: str | None) -> list[str]:
    """The codings that a Content-Encoding field names, in the order in which they were applied."""
    names = (name.strip().lower() for name in (field or "").split(","))
    return [name for name in names if name in _CODINGS]


def decoded(parts: Iterable[bytes], codings: list[str], max_bytes: int) -> bytes:
    """The file that comes in `parts`; never more than `max_bytes` of it are in memory, however far they expand.

    What is called gzip and does not begin as gzip does is taken as it is: object stores keep such labels. Raises
    VideoTooLarge, and UriNotFound for other codings and for what is not encoded as it is said to be.
    """
    if not codings:
        return b"".join(parts)
    pieces = iter(parts)
    head = b""
    while len(head) < len(_GZIP_BEGINS) and (piece := next(pieces, b"")):
        head += piece
    whole = chain([head], pieces)
    if len(codings) > 1 or codings[0] not in ("gzip", "x-gzip", "deflate"):
        raise _malformed("the host sends an unsupported content encoding")
    if codings[0] != "deflate":
        return b"".join(_inflated(whole, _WBITS_GZIP, max_bytes) if head.startswith(_GZIP_BEGINS) else whole)
    # What is sent as deflate is in a zlib wrapper, as it should be, or is not.
    is_zlib = len(head) > 1 and head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0
    return b"".join(_inflated(whole, _WBITS_ZLIB if is_zlib else _WBITS_RAW, max_bytes))


def _inflated(parts: Iterable[bytes], wbits: int, max_bytes: int) -> Iterator[bytes]:
    inflater = zlib.decompressobj(wbits)
    room = max_bytes + 1
    try:
        for part in parts:
            pending = part
            while pending:
                content = inflater.decompress(pending, room)
                room -= len(content)
                if room <= 0:
                    raise VideoTooLarge.past("max_bytes", max_bytes, max_bytes + 1)
                if inflater.unused_data:
                    raise _malformed(
                        "the host sends more data after the encoded file"
                    )  # which not all viewers would read
                yield content
                pending = inflater.unconsumed_tail
    except zlib.error:
        raise _malformed("the host sends content that is not encoded as it claims") from None
    if not inflater.eof:
        raise _malformed("the host sends encoded content that is cut short")


def _malformed(message: str) -> UriNotFound:
    return UriNotFound(message, field="uri")
