"""Parts of a file behind an http or https URL; redirects are followed here, each checked as the first URL was.

Semantics of ranges: RFC 9110, 14. The client is the standard library's. httpcore, whose network backend also lets one
choose the address, was measured in its place on loopback: 7 to 19 % more processor time per fetched video (five kinds
of container, sampling included), 3 to 13 % more wall time, 8 % more for starting a worker that fetches, three packages
more in it, and no fewer lines, as addresses, timeouts and ending a connection from outside remain to be done.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import cast
from urllib.parse import urljoin, urlsplit

from wildgate_server.errors import FetchFailed, InvalidRequest, UriNotAllowed, UriNotFound, VideoTooLarge
from wildgate_server.source.byte_source import ByteRange
from wildgate_server.source.checked_network import CheckedNetwork
from wildgate_server.source.fetching import FetchConfig, PartFetcher, TransientFailure
from wildgate_server.source.remote_uri import DEFAULT_PORTS, HttpUrl

__all__ = ["HttpFetcher"]

_MOST_REDIRECTS = 4
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NOT_FOUND = frozenset({404, 410})
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_READ_BYTES = 256 << 10
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")


class HttpFetcher(PartFetcher):
    """For an http or https URL."""

    def __init__(self, url: HttpUrl, config: FetchConfig) -> None:
        self._url = url
        self._schemes = config.schemes
        self._network = CheckedNetwork(config)
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        self._closed = False
        self._size = 0
        self._tag: str | None = None

    def beginning(self, length: int, max_bytes: int) -> tuple[bytes, int]:
        """The first bytes, from wherever redirects lead, or all from a server without ranges; and the size of all."""
        for _ in range(_MOST_REDIRECTS + 1):
            with self._response(ByteRange(0, length)) as response:
                if response.status in _REDIRECTS:
                    location = response.getheader("Location")
                elif response.status == 200:
                    content = response.whole(max_bytes)
                    return content, len(content)
                elif response.status == 416 and response.getheader("Content-Range") == "bytes */0":
                    return b"", 0
                else:
                    start, end, self._size = response.content_range()
                    if start or end != min(length, self._size):
                        raise _wrong_range()
                    if self._size > max_bytes:
                        raise VideoTooLarge.past("max_bytes", max_bytes, self._size)
                    self._tag = response.getheader("ETag")
                    return response.exactly(end), self._size
            self._url = self._redirected(location)
            self._close_idle()  # they lead to the host before
        raise FetchFailed("the uri leads from redirect to redirect", field="uri")

    def part(self, span: ByteRange) -> bytes:
        """The bytes of a range; raises FetchFailed when the file is another one by now."""
        with self._response(span) as response:
            if response.status == 206:
                start, end, size = response.content_range()
                if size == self._size and response.getheader("ETag") == self._tag:
                    if (start, end) != (span.start, span.end):
                        raise _wrong_range()
                    return response.exactly(len(span))
        raise FetchFailed("the file changed while it was read", field="uri")

    def close(self) -> None:
        """Ends all connections, in use or not; only a name that is being resolved has to end by itself."""
        with self._lock:
            self._closed = True
        self._network.end()
        self._close_idle()

    def _close_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.end()

    def _redirected(self, location: str | None) -> HttpUrl:
        if not location:
            raise FetchFailed("the uri is redirected to nowhere", field="uri")
        try:
            text = urljoin(self._url.text, location)
            scheme = urlsplit(text).scheme
        except ValueError as error:
            raise FetchFailed(f"the uri is redirected to a malformed one: {error}", field="uri") from None
        if scheme not in self._schemes:
            raise UriNotAllowed(
                f"the uri is redirected to scheme {scheme!r}, which is not allowed here",
                metadata={"scheme": scheme},
                field="uri",
            )
        try:
            return HttpUrl.parsed(text)
        except InvalidRequest as error:
            raise FetchFailed(f"the uri is redirected, but {error.message}", field="uri") from None

    @contextmanager
    def _response(self, span: ByteRange) -> Iterator[_Response]:
        """What the host of the URL in force answers to a request for a range, unless it is an error."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        connection = connection or _Connection(self._url, self._network)
        reusable = False
        try:
            response = connection.ask(self._url.target, span)
            response.check_status()
            yield response
            reusable = response.is_read
        except (OSError, HTTPException) as error:
            raise TransientFailure.unanswered(error) from None
        finally:
            with self._lock:
                reusable = reusable and not self._closed
                if reusable:
                    self._idle.append(connection)
            if not reusable:
                connection.end()


class _Response(HTTPResponse):
    """A response, of which no more is read than was asked for."""

    def check_status(self) -> None:
        """Raises TransientFailure, UriNotFound or FetchFailed unless there is something to read, or where to look."""
        if self.status in _TRANSIENT:
            raise TransientFailure(f"the host answers with status {self.status}")
        if self.status in _NOT_FOUND:
            raise UriNotFound("there is no file at the URI", field="uri")
        if self.status not in _REDIRECTS and self.status not in (200, 206, 416):
            raise FetchFailed(
                f"the host answers with status {self.status}", metadata={"http_status": str(self.status)}, field="uri"
            )
        if self.getheader("Content-Encoding", "identity").lower() not in ("", "identity"):
            raise FetchFailed("the host sends an encoding that was not asked for", field="uri")

    @property
    def is_read(self) -> bool:
        """Whether the connection can take another request."""
        if self.length == 0:
            self.close()  # http.client waits for one more read to notice
        return self.isclosed() and not self.will_close

    def content_range(self) -> tuple[int, int, int]:
        """Start and end of what is sent, and the size of all."""
        match = _CONTENT_RANGE.fullmatch(self.getheader("Content-Range", "").strip())
        if self.status != 206 or not match:
            raise _wrong_range()
        first, last, size = map(int, match.groups())
        return first, last + 1, size

    def exactly(self, length: int) -> bytes:
        """The body, which has this length."""
        content = self._up_to(length)
        if len(content) < length:
            raise TransientFailure("the host sends less than it promised")
        if self.length != 0 and self._next(1):
            raise _wrong_range()
        return content

    def whole(self, max_bytes: int) -> bytes:
        """The body, whatever its length up to the limit."""
        declared = self.length
        if declared is not None and declared > max_bytes:
            raise VideoTooLarge.past("max_bytes", max_bytes, declared)
        content = self._up_to(max_bytes + 1)
        if len(content) > max_bytes:
            raise VideoTooLarge.past("max_bytes", max_bytes, len(content))
        if declared is not None and len(content) < declared:
            raise TransientFailure("the host sends less than it promised")
        return content

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
        if len(part) > most:  # http.client takes a chunk's size as it comes, -5 too
            raise FetchFailed("the host sends a chunk of a malformed size", field="uri")
        return part


class _Connection(HTTPConnection):
    """A connection of a checked network."""

    auto_open = 0  # never one that was not checked
    response_class = _Response

    def __init__(self, url: HttpUrl, network: CheckedNetwork) -> None:
        self.default_port = DEFAULT_PORTS[url.scheme]  # left out of the Host header
        super().__init__(url.host, url.port)
        self._network = network
        self.sock = self._wire = network.connected(url)  # kept, as `sock` is gone once a response ends the connection
        self._response: _Response | None = None

    def ask(self, target: str, span: ByteRange) -> _Response:
        """The head of the response to a request for a range."""
        fields = {"Accept-Encoding": "identity", "User-Agent": "wildgate"}
        self.request("GET", target, headers={**fields, "Range": f"bytes={span.start}-{span.end - 1}"})
        self._response = cast(_Response, self.getresponse())
        return self._response

    def end(self) -> None:
        """Closes the connection, and what may be left of its last response."""
        if self._response is not None:
            self._response.close()
        self.close()
        self._network.close(self._wire)


def _wrong_range() -> FetchFailed:
    return FetchFailed("the host answers with another range than was asked for", field="uri")
