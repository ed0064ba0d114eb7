"""URIs of what lies elsewhere, taken apart and checked as far as that can be done without asking anyone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import quote, urlsplit

from wildgate_server.errors import InvalidRequest

__all__ = ["DEFAULT_PORTS", "MAX_QUOTED", "PRINTABLE", "BucketUri", "HttpUrl", "Scheme"]

Scheme: TypeAlias = Literal["http", "https"]

MAX_QUOTED = 80
"""Characters of a URI's part that a message may quote."""

DEFAULT_PORTS = {"http": 80, "https": 443}
PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_LONGEST_HOST = 253  # characters (RFC 1035, 2.3.4)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class HttpUrl:
    """An http or https URL, taken apart; `target` is its path and query."""

    text: str
    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parsed(cls, text: str) -> HttpUrl:
        """Raises InvalidRequest for a URL that names no host, or names a user."""
        try:
            parts = urlsplit(text)
            host = parts.hostname or ""
            host = host if host.isascii() else host.encode("idna").decode()
            port = parts.port
        except ValueError as error:
            raise InvalidRequest(f"uri is malformed: {str(error)[:MAX_QUOTED]}", field="uri") from None
        if not host:
            raise InvalidRequest("uri is malformed: it names no host", field="uri")
        if len(host) > _LONGEST_HOST:
            raise InvalidRequest("uri is malformed: its host's name is too long", field="uri")
        if parts.username is not None or parts.password is not None:
            raise InvalidRequest("uri is malformed: it names a user", field="uri")
        if any(character <= " " or character == "\x7f" for character in text):
            raise InvalidRequest("uri is malformed: it has spaces or control characters", field="uri")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        port = DEFAULT_PORTS.get(parts.scheme, 0) if port is None else port
        return cls(text, parts.scheme, host, port, quote(target, safe=PRINTABLE))


@dataclass(frozen=True, slots=True)
class BucketUri:
    """An object in a bucket, behind an s3 or gs URI.

    These URIs are not URLs: the key is what follows the bucket, and `?`, `#` and `%` in it stand for themselves.
    """

    text: str
    scheme: str
    bucket: str
    key: str

    @classmethod
    def parsed(cls, text: str) -> BucketUri:
        """Raises InvalidRequest for a URI without a key, and for a key that no client of ours can ask for."""
        scheme, _, place = text.partition("://")
        bucket, _, key = place.partition("/")
        if not (bucket and key.strip("/")):
            raise InvalidRequest(f"uri is malformed: it is {scheme}://BUCKET/KEY", field="uri")
        if _CONTROL.search(key):
            raise InvalidRequest("uri is malformed: its key has control characters", field="uri")
        if any(segment in ("", ".", "..") for segment in key.split("/")):
            raise InvalidRequest(
                "uri cannot be read: its key begins or ends with '/', or has '//', '/./' or '/../' in it", field="uri"
            )
        return cls(text, scheme.lower(), bucket, key)
