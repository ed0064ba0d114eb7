"""http and https URLs, as far as they may be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import quote, urlsplit

from wildgate_server.errors import InvalidRequest

__all__ = ["DEFAULT_PORTS", "HttpUrl", "Scheme"]

Scheme: TypeAlias = Literal["http", "https"]

DEFAULT_PORTS = {"http": 80, "https": 443}
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


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
            raise InvalidRequest(f"uri is malformed: {error}", field="uri") from None
        if not host:
            raise InvalidRequest("uri is malformed: it names no host", field="uri")
        if parts.username is not None or parts.password is not None:
            raise InvalidRequest("uri is malformed: it names a user", field="uri")
        if any(character <= " " or character == "\x7f" for character in text):
            raise InvalidRequest("uri is malformed: it has spaces or control characters", field="uri")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        port = DEFAULT_PORTS.get(parts.scheme, 0) if port is None else port
        return cls(text, parts.scheme, host, port, quote(target, safe=_PRINTABLE))
