"""A connection to a host that may be reached, and its responses, of which no more is read than was asked for.

Semantics: RFC 9110; of ranges, 14; of interim responses, 15.2.
"""

from __future__ import annotations

import re
import select
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse, UnknownProtocol, parse_headers
from typing import cast

from wildgate_server.errors import UriNotFound, VideoTooLarge
from wildgate_server.source.byte_source import ByteRange
from wildgate_server.source.checked_network import CheckedNetwork
from wildgate_server.source.content_coding import codings_of, decoded
from wildgate_server.source.fetching import PartsUnfit, TransientFailure
from wildgate_server.source.remote_uri import DEFAULT_PORTS, HttpUrl

__all__ = ["REDIRECTS", "Connection", "Response"]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HAS_CONTENT = frozenset({200, 203, 206})
_NOT_FOUND = frozenset({404, 410})
_REFUSED = frozenset({401, 407, 451})  # whatever is asked for; other refusals, 403 too, may be of the range alone
_TRANSIENT = frozenset({408, 425, 429, *range(500, 600)}) - {501, 505}  # what a host cannot do, ranges maybe
_READ_BYTES = 256 << 10
_MOST_INTERIM = 8
_CONTENT_RANGE = re.compile(r"bytes[ =:] ?(\d{1,18})-(\d{1,18})/(\d{1,18})", re.IGNORECASE)


class Response(HTTPResponse):
    """A response, read no further than is asked for; `count` is told of the bytes of its body as they come."""

    count: Callable[[int], None]

    def check_status(self, *, to_range: bool) -> None:
        """Raises unless there is something to read, or where to look.

        TransientFailure where it may pass, UriNotFound where it will not, PartsUnfit where a range may be at fault.
        """
        if self.status in _HAS_CONTENT or self.status in REDIRECTS:
            return
        if self.status in _TRANSIENT:
            raise TransientFailure(f"the host answers with status {self.status}")
        if to_range and self.status not in _NOT_FOUND | _REFUSED:
            raise PartsUnfit
        message = f"the host answers with status {self.status}"
        if self.status in _NOT_FOUND:
            message = "there is no file at the URI"
        raise UriNotFound(message, metadata={"http_status": str(self.status)}, field="uri")

    @property
    def is_read(self) -> bool:
        """Whether the connection can take another request."""
        if self.length == 0:
            self.close()  # http.client waits for one more read to notice
        return self.isclosed() and not self.will_close

    def content_range(self) -> tuple[int, int, int]:
        """Start and end of what is sent, and the size of all. Raises PartsUnfit where these are not the file's."""
        match = _CONTENT_RANGE.fullmatch(self.getheader("Content-Range", "").strip())
        in_several = self.getheader("Content-Type", "").lower().startswith("multipart/byteranges")
        if not match or in_several or self._codings:  # whose range is one of the encoded file
            raise PartsUnfit
        first, last, size = map(int, match.groups())
        return first, last + 1, size

    def exactly(self, length: int) -> bytes:
        """The body of a part, which has this length. Raises PartsUnfit where it has another by its own account."""
        if self.length not in (None, length):
            raise PartsUnfit
        content = self._up_to(length)
        if len(content) < length:
            raise TransientFailure("the host sends less than it promised")
        if self.length != 0 and self._next(1):
            raise PartsUnfit
        return content

    def whole(self, max_bytes: int) -> bytes:
        """The body, decoded, whatever its length up to the limit, which holds before and after decoding."""
        if self.length is not None and self.length > max_bytes:
            raise VideoTooLarge.past("max_bytes", max_bytes, self.length)
        return decoded(self._pieces(max_bytes), self._codings, max_bytes)

    @property
    def _codings(self) -> list[str]:
        return codings_of(self.getheader("Content-Encoding"))

    def _pieces(self, max_bytes: int) -> Iterator[bytes]:
        """All of the body."""
        room = max_bytes
        while piece := self._next(min(room + 1, _READ_BYTES)):
            room -= len(piece)
            if room < 0:
                raise VideoTooLarge.past("max_bytes", max_bytes, max_bytes - room)
            yield piece
        if self.length:
            raise TransientFailure("the host sends less than it promised")

    def _up_to(self, length: int) -> bytes:
        parts: list[bytes] = []
        missing = length
        while missing > 0 and (part := self._next(min(missing, _READ_BYTES))):
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _next(self, most: int) -> bytes:
        """Some of the body, nothing at its end."""
        part = self.read1(most)
        self.count(len(part))
        if len(part) > most:  # http.client takes a chunk's size as it comes, -5 too
            raise UriNotFound("the host sends a chunk with a malformed size", field="uri")
        return part

    def _read_status(self) -> tuple[str, int, str]:
        """The status line of the final response; http.client itself knows no interim one but 100."""
        for _ in range(_MOST_INTERIM):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status // 100 != 1:
                return version, status, reason
            parse_headers(self.fp)
        raise UnknownProtocol("interim responses only")


class Connection(HTTPConnection):
    """A connection of a checked network."""

    auto_open = 0  # never one that was not checked
    response_class = Response

    def __init__(self, url: HttpUrl, network: CheckedNetwork) -> None:
        self.default_port = DEFAULT_PORTS[url.scheme]  # left out of the Host header
        super().__init__(url.host, url.port)
        self.origin = (url.scheme, url.host, url.port)
        self._network = network
        self.sock = self._wire = network.connected(url)  # kept, as `sock` is gone once a response ends the connection
        self._response: Response | None = None

    def ask(self, target: str, span: ByteRange | None) -> Response:
        """The head of the response to a request for a range, or for all."""
        fields = {
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": "wildgate",
        }  # some refuse without the first
        if span is not None:
            fields["Range"] = f"bytes={span.start}-{span.end - 1}"
        self.request("GET", target, headers=fields)
        self._response = cast(Response, self.getresponse())
        self._response.count = self._network.count
        return self._response

    @property
    def is_stale(self) -> bool:
        """Whether the host has closed it since, or has sent something unasked."""
        waits = select.poll()
        waits.register(self._wire, select.POLLIN)
        return bool(waits.poll(0))

    def end(self) -> None:
        """Closes the connection, and what may be left of its last response."""
        if self._response is not None:
            self._response.close()
        self.close()
        self._network.close(self._wire)
