"""A web server for one folder that answers byte ranges (RFC 9110, section 14), and counts what it was asked for."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["RangeServer", "Served", "range_server"]

_RANGE = re.compile(r"bytes=(?P<first>\d*)-(?P<last>\d*)$")
_CHUNK = 1 << 16


@dataclass
class Served:
    """What the server has sent so far: requests answered, and bytes of bodies.

    Counted before they are sent, so that whoever got an answer finds it counted.
    """

    requests: int = 0
    body_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, *, requests: int = 0, body_bytes: int = 0) -> None:
        """Counts."""
        with self._lock:
            self.requests += requests
            self.body_bytes += body_bytes

    def reset(self) -> Served:
        """What was counted so far; counting begins anew."""
        with self._lock:
            before = Served(self.requests, self.body_bytes)
            self.requests = self.body_bytes = 0
            return before


@dataclass(frozen=True)
class RangeServer:
    """A running server: `url` is that of the folder, without a slash at its end."""

    url: str
    served: Served


@contextmanager
def range_server(folder: Path) -> Iterator[RangeServer]:
    """Serves the files right in `folder` on a free loopback port, in threads of this process."""
    served = Served()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, folder=folder, served=served))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="range server")
    thread.start()
    try:
        yield RangeServer(f"http://127.0.0.1:{server.server_address[1]}", served)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte that a Range header asks of a file of `size` bytes; None for the whole file.

    Several ranges at once count as none, as a server may (RFC 9110, section 14.2). Raises ValueError for one that lies
    outside of the file.
    """
    if not header or not (match := _RANGE.match(header)):
        return None
    first, last = match["first"], match["last"]
    if not first and not last:
        return None
    if not first:
        length = min(int(last), size)
        start, end = size - length, size - 1
    else:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
    if start > end:
        raise ValueError(f"{header} lies outside of {size} bytes")
    return start, end


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, *args: object, folder: Path, served: Served) -> None:
        self._folder = folder
        self._served = served
        super().__init__(*args)  # type: ignore[arg-type]  # handles the connection

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: counting is enough."""

    def _answer(self, *, with_body: bool) -> None:
        file = self._folder / Path(unquote(urlsplit(self.path).path)).name
        if not file.is_file():
            self._empty(HTTPStatus.NOT_FOUND)
            return
        status = file.stat()
        try:
            asked = byte_range(self.headers.get("Range"), status.st_size)
        except ValueError:
            self._empty(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, **{"Content-Range": f"bytes */{status.st_size}"})
            return
        first, last = asked or (0, status.st_size - 1)
        self.send_response(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Last-Modified", formatdate(status.st_mtime, usegmt=True))
        self.send_header("ETag", f'"{status.st_mtime_ns:x}-{status.st_size:x}"')
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{status.st_size}")
        self._end_headers()
        if with_body:
            try:
                self._send(file, first, last)
            except OSError:  # the client had enough
                self.close_connection = True

    def _send(self, file: Path, first: int, last: int) -> None:
        with file.open("rb") as opened:
            opened.seek(first)
            left = last - first + 1
            while left and (chunk := opened.read(min(left, _CHUNK))):
                self._served.add(body_bytes=len(chunk))
                self.wfile.write(chunk)
                left -= len(chunk)

    def _empty(self, status: HTTPStatus, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        for name, value in headers.items():
            self.send_header(name, value)
        self._end_headers()

    def _end_headers(self) -> None:
        self._served.add(requests=1)
        self.end_headers()
