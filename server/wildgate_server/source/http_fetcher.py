"""Parts of a file behind an http or https URL, from hosts that may be reached and no others.

A name is resolved once per connection, and the connection is made to an address that was checked: what a name server
says later does not matter. Redirects are followed here, each checked as the first URL was. Semantics of ranges:
RFC 9110, 14. This is the standard library's client, because no other lets one choose the address and end a connection
from outside.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from http.client import HTTPConnection, HTTPException, HTTPResponse
from time import monotonic
from urllib.parse import urljoin, urlsplit

from wildgate_server.errors import FetchFailed, InvalidRequest, UriNotAllowed, UriNotFound, VideoTooLarge
from wildgate_server.source.byte_ranges import ByteRange
from wildgate_server.source.fetching import Beginning, FetchConfig, TransientFailure
from wildgate_server.source.http_url import DEFAULT_PORTS, HttpUrl
from wildgate_server.source.public_address import reachable_addresses

__all__ = ["HttpFetcher"]

_MOST_REDIRECTS = 4
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NOT_FOUND = frozenset({404, 410})
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_READ_BYTES = 256 << 10
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")


class HttpFetcher:
    """A `PartFetcher` for an http or https URL; no connection waits past `deadline`, a `monotonic` time."""

    def __init__(self, url: HttpUrl, config: FetchConfig, deadline: float) -> None:
        self._url = url
        self._config = config
        self._patience = _Patience(config.stall_s, deadline)
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._closed = False
        self._size = 0
        self._tag: str | None = None

    def beginning(self, length: int, max_bytes: int) -> Beginning:
        """The first bytes, from wherever redirects lead; all of them from a server without ranges."""
        for _ in range(_MOST_REDIRECTS + 1):
            with self._answer(ByteRange(0, length)) as answer:
                if answer.status in _REDIRECTS:
                    location = answer.header("Location")
                elif answer.status == 200:
                    content = answer.whole(max_bytes)
                    return Beginning(content, len(content), is_all=True)
                elif answer.status == 416 and answer.header("Content-Range") == "bytes */0":
                    return Beginning(b"", 0, is_all=True)
                else:
                    start, end, self._size = answer.content_range()
                    if start or end != min(length, self._size):
                        raise _wrong_range()
                    if self._size > max_bytes:
                        raise VideoTooLarge.past("max_bytes", max_bytes, self._size)
                    self._tag = answer.header("ETag")
                    return Beginning(answer.exactly(end), self._size, is_all=False)
            self._url = self._redirected(location)
            self._end_idle()  # they lead to the host before
        raise FetchFailed("the uri leads from redirect to redirect", field="uri")

    def part(self, span: ByteRange) -> bytes:
        """The bytes of a range; raises FetchFailed when the file is another one by now."""
        with self._answer(span) as answer:
            if answer.status == 206:
                start, end, size = answer.content_range()
                if size == self._size and answer.header("ETag") == self._tag:
                    if (start, end) != (span.start, span.end):
                        raise _wrong_range()
                    return answer.exactly(len(span))
        raise FetchFailed("the file changed while it was read", field="uri")

    def close(self) -> None:
        """Ends all connections, whoever uses them and whatever they wait for; a name being resolved ends by itself."""
        with self._lock:
            self._closed = True
            for connection in self._busy:
                connection.abort()
        self._end_idle()

    def _end_idle(self) -> None:
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
        if scheme not in self._config.schemes:
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
    def _answer(self, span: ByteRange) -> Iterator[_Answer]:
        """What the host answers to a request for a range, unless it is an error."""
        connection = self._connection()
        reusable = False
        try:
            answer = _Answer(connection.ask(self._url.target, span), connection)
            yield answer
            reusable = answer.is_read
        except (OSError, HTTPException) as error:
            raise TransientFailure(f"the host does not answer: {_reason(error)}") from None
        finally:
            with self._lock:
                self._busy.discard(connection)
                reusable = reusable and not self._closed
                if reusable:
                    self._idle.append(connection)
            if not reusable:
                connection.end()

    def _connection(self) -> _Connection:
        """A connection for one request, to the host of the URL in force."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            url, config = self._url, self._config
            addresses = reachable_addresses(url.host, url.port, config.private_networks, config.ports)
            connection = _Connection(url, addresses, self._patience)
        with self._lock:
            if self._closed:
                raise _ended()
            self._busy.add(connection)
        return connection


class _Patience:
    """How long to wait for the next byte."""

    def __init__(self, stall_s: float, deadline: float) -> None:
        self._stall_s = stall_s
        self._deadline = deadline

    def left_s(self) -> float:
        """Seconds, more than none; raises TransientFailure past the deadline."""
        left_s = self._deadline - monotonic()
        if left_s <= 0:
            raise _ended()
        return min(self._stall_s, left_s)


class _Connection(HTTPConnection):
    """A connection to one of the addresses that were checked, whatever the host's name leads to by now.

    One thread uses it, and another may abort it at any time: what it waits on is known from before it first waits,
    and after each wait it looks whether it was aborted.
    """

    def __init__(self, url: HttpUrl, addresses: list[str], patience: _Patience) -> None:
        self.default_port = DEFAULT_PORTS[url.scheme]  # left out of the Host header
        super().__init__(url.host, url.port)
        self._addresses = addresses
        self._tls = _tls() if url.scheme == "https" else None
        self._patience = patience
        self._lock = threading.Lock()
        self._aborted = False
        self._wire: socket.socket | None = None  # kept, as `sock` is gone once an answer ends the connection
        self._last: HTTPResponse | None = None

    def connect(self) -> None:
        *others, last = self._addresses
        for address in others:
            with suppress(OSError):
                self._connect_to(address)
                break
        else:
            self._connect_to(last)
        if self._tls is not None:
            # The handshake comes once others can end it: the descriptor moves from one socket to the other.
            secure = self._tls.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self._wait_on(secure)
            self.be_patient()
            secure.do_handshake()

    def _connect_to(self, address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._wait_on(socket.socket(family, socket.SOCK_STREAM))
        try:
            self.be_patient()
            self.sock.connect((address, self.port))
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            self.sock.close()
            raise

    def _wait_on(self, wire: socket.socket) -> None:
        self.sock = wire
        with self._lock:
            self._wire = wire

    def be_patient(self) -> None:
        """Bounds the next wait; raises TransientFailure past the deadline, and when the connection was aborted."""
        with self._lock:
            if self._aborted:
                raise _ended()
        if self._wire is not None:
            self._wire.settimeout(self._patience.left_s())

    def ask(self, target: str, span: ByteRange) -> HTTPResponse:
        if self.sock is None:
            self.connect()
        self.be_patient()
        self.request(
            "GET",
            target,
            headers={
                "Accept-Encoding": "identity",
                "Range": f"bytes={span.start}-{span.end - 1}",
                "User-Agent": "wildgate",
            },
        )
        self._last = self.getresponse()
        return self._last

    def abort(self) -> None:
        """Makes whichever thread waits for this connection stop waiting; that thread then ends it."""
        with self._lock:
            self._aborted = True
            if self._wire is not None:
                with suppress(OSError):
                    socket.socket.shutdown(self._wire, socket.SHUT_RDWR)  # TLS' own would have it go on in the clear

    def end(self) -> None:
        """Ends the connection, and what may be left of its last answer."""
        if self._last is not None:
            self._last.close()
        self.close()


class _Answer:
    """A response whose status says that there is something to read, or where to look."""

    def __init__(self, response: HTTPResponse, connection: _Connection) -> None:
        self._response = response
        self._connection = connection
        self.status = response.status
        if self.status in _TRANSIENT:
            raise TransientFailure(f"the host answers with status {self.status}")
        if self.status in _NOT_FOUND:
            raise UriNotFound("no file lies at the URI", field="uri")
        if self.status not in _REDIRECTS and self.status not in (200, 206, 416):
            raise FetchFailed(
                f"the host answers with status {self.status}", metadata={"http_status": str(self.status)}, field="uri"
            )
        if (self.header("Content-Encoding") or "identity").lower() != "identity":
            raise FetchFailed("the host sends an encoding that was not asked for", field="uri")

    @property
    def is_read(self) -> bool:
        """Whether the connection can take another request."""
        if self._response.length == 0:
            self._response.close()  # http.client waits for one more read to notice
        return self._response.isclosed() and not self._response.will_close

    def header(self, name: str) -> str | None:
        """The value of a header field."""
        value: str | None = self._response.getheader(name)
        return value

    def content_range(self) -> tuple[int, int, int]:
        """Start and end of what is sent, and the size of all."""
        match = _CONTENT_RANGE.fullmatch((self.header("Content-Range") or "").strip())
        if self.status != 206 or not match:
            raise _wrong_range()
        first, last, size = map(int, match.groups())
        return first, last + 1, size

    def exactly(self, length: int) -> bytes:
        """The body, which has this length."""
        content = self._up_to(length)
        if len(content) < length:
            raise TransientFailure("the host sends less than it promised")
        if self._response.length != 0 and self._next(1):
            raise _wrong_range()
        return content

    def whole(self, max_bytes: int) -> bytes:
        """The body, whatever its length up to the limit."""
        declared = self._response.length
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
        self._connection.be_patient()
        part = self._response.read1(most)
        if len(part) > most:  # http.client takes a chunk's size as it comes, -5 too
            raise FetchFailed("the host sends a chunk of a malformed size", field="uri")
        return part


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _ended() -> TransientFailure:
    return TransientFailure("reading has ended")


def _wrong_range() -> FetchFailed:
    return FetchFailed("the host answers with another range than was asked for", field="uri")


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or type(error).__name__)
