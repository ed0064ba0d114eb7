"""Parts of a file behind an http or https URL; redirects are followed here, each checked as the first URL was.

Semantics of ranges: RFC 9110, 14. The client is the standard library's. httpcore, whose network backend also lets one
choose the address, was measured in its place on loopback: 7 to 19 % more processor time per fetched video (five kinds
of container, sampling included), 3 to 13 % more wall time, 8 % more for starting a worker that fetches, three packages
more in it, and no fewer lines, as addresses, timeouts and ending a connection from outside remain to be done.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from urllib.parse import quote, urljoin, urlsplit

from wildgate_server.errors import InvalidRequest, UriNotAllowed, UriNotFound, VideoTooLarge
from wildgate_server.source.byte_source import ByteRange
from wildgate_server.source.checked_network import CheckedNetwork
from wildgate_server.source.fetching import FetchConfig, PartFetcher, PartsUnfit, TransientFailure
from wildgate_server.source.http_connection import REDIRECTS, Connection, Response
from wildgate_server.source.remote_uri import MAX_QUOTED, PRINTABLE, HttpUrl

__all__ = ["HttpFetcher"]

_MOST_REDIRECTS = 4


class HttpFetcher(PartFetcher):
    """For an http or https URL."""

    def __init__(self, url: HttpUrl, config: FetchConfig) -> None:
        self._given = self._url = url
        self._schemes = config.schemes
        self._network = CheckedNetwork(config)
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False
        self._size = 0
        self._version: tuple[str | None, str | None] = None, None

    def beginning(self, length: int, max_bytes: int) -> tuple[bytes, int]:
        """The first bytes, from wherever redirects lead, or all from a server without ranges; and the size of all."""
        with self._final_response(ByteRange(0, length)) as response:
            if response.status != 206:
                content = response.whole(max_bytes)
                told = response.getheader("Content-Range")
                if told and not told.endswith(f"/{len(content)}"):
                    raise PartsUnfit  # some scripts send the range that was asked for, and call it all
                return content, len(content)
            self._version = _version_of(response)
            start, end, self._size = response.content_range()
            if self._size > max_bytes:
                raise VideoTooLarge.past("max_bytes", max_bytes, self._size)
            if start or end not in (min(length, self._size), self._size):
                raise PartsUnfit
            return response.exactly(end), self._size

    def part(self, span: ByteRange) -> bytes:
        """The bytes of a range; raises PartsUnfit where the file may be another one by now."""
        with suppress(UriNotFound), self._response(self._url, span) as response:  # a signed URL may have run out
            if (
                response.status == 206
                and response.content_range() == (span.start, span.end, self._size)
                and _version_of(response) == self._version
            ):
                return response.exactly(len(span))
        raise PartsUnfit

    def whole(self, max_bytes: int) -> bytes:
        """All of the file, from wherever redirects lead by now."""
        with self._final_response(None) as response:
            if response.status != 206:
                return response.whole(max_bytes)
            with suppress(PartsUnfit):  # some send all of it as a range though none was asked for
                start, end, size = response.content_range()
                if size > max_bytes:
                    raise VideoTooLarge.past("max_bytes", max_bytes, size)
                if (start, end) == (0, size):
                    return response.exactly(size)
        raise UriNotFound("the host answers with part of the file where all of it was asked for", field="uri")

    def close(self) -> None:
        """Ends all connections, in use or not; only a name that is being resolved has to end by itself."""
        with self._lock:
            self._closed = True
        self._network.end()
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.end()

    @property
    def received_bytes(self) -> int:
        """Bytes of all bodies so far."""
        return self._network.received_bytes

    @contextmanager
    def _final_response(self, span: ByteRange | None) -> Iterator[Response]:
        """What the given URL leads to; the URL in force is then the last one."""
        url = self._given
        for _ in range(_MOST_REDIRECTS + 1):
            with self._response(url, span) as response:
                if response.status not in REDIRECTS:
                    self._url = url
                    yield response
                    return
                location = response.getheader("Location")
            url = self._redirected(url, location)
        raise UriNotFound("the uri leads to too many redirects", field="uri")

    def _redirected(self, url: HttpUrl, location: str | None) -> HttpUrl:
        if not location:
            raise UriNotFound("the host redirects without saying where", field="uri")
        try:
            # Browsers take a Location with spaces and bytes past ASCII, which http.client gives as Latin-1.
            text = urljoin(url.text, quote(location.strip().encode("latin-1"), safe=PRINTABLE))
            scheme = urlsplit(text).scheme
        except ValueError as error:
            raise UriNotFound(
                f"the uri is redirected to a malformed one: {str(error)[:MAX_QUOTED]}", field="uri"
            ) from None
        if scheme not in self._schemes:
            scheme = scheme[:MAX_QUOTED]
            raise UriNotAllowed(
                f"the uri is redirected to scheme {scheme!r}, which is not allowed here",
                metadata={"scheme": scheme},
                field="uri",
            )
        try:
            return HttpUrl.parsed(text)
        except InvalidRequest as error:
            raise UriNotFound(f"the uri is redirected, but {error.message}", field="uri") from None

    @contextmanager
    def _response(self, url: HttpUrl, span: ByteRange | None) -> Iterator[Response]:
        """What the URL's host answers to a request for a range or for all, unless it is an error."""
        connection = self._idle_connection(url) or Connection(url, self._network)
        reusable = False
        try:
            response = connection.ask(url.target, span)
            response.check_status(to_range=span is not None)
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

    def _idle_connection(self, url: HttpUrl) -> Connection | None:
        """One to the URL's host that can be asked again."""
        while True:
            with self._lock:
                found = next((idle for idle in self._idle if idle.origin == (url.scheme, url.host, url.port)), None)
                if found is None:
                    return None
                self._idle.remove(found)
            if not found.is_stale:
                return found
            found.end()


def _version_of(response: Response) -> tuple[str | None, str | None]:
    """What is equal for all parts of one file: a strong tag, else a weak one with the time of the last change.

    Without a strong tag that is no proof, but it is all that some hosts tell.
    """
    tag = response.getheader("ETag")
    is_strong = tag is not None and not tag.startswith(("W/", "w/"))
    return tag, None if is_strong else response.getheader("Last-Modified")
