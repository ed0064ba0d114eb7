"""A web server on loopback that gives a file by range, and misbehaves where it is told to."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RANGE = re.compile(r"bytes=(\d+)-(\d+)")


@dataclass
class MediaHost:
    """The file, what was asked for, and how to answer.

    `misbehave(request number from 0, handler)` may answer in place of the server, and says whether it did. `etag` goes
    along with every answer.
    """

    content: bytes
    serves_ranges: bool = True
    etag: str | None = '"1"'
    misbehave: Callable[[int, Handler], bool] = lambda number, handler: False
    port: int = 0
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    connections: int = 0

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}/video"

    @property
    def ranges(self) -> list[str | None]:
        return [span for _, span in self.asked]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    host: MediaHost

    def setup(self) -> None:
        super().setup()
        self.host.connections += 1

    def do_GET(self) -> None:
        number = len(self.host.asked)
        self.host.asked.append((self.path, self.headers.get("Range")))
        if not self.host.misbehave(number, self):
            self.answer()

    def answer(self, cut: int = 0, **changes: str | None) -> None:
        """The file, or the range of it that was asked for, less the last `cut` bytes, though they are promised.

        `changes` are other values of header fields.
        """
        content = self.host.content
        asked = RANGE.fullmatch(self.headers.get("Range") or "")
        fields = {"ETag": self.host.etag}
        if asked and self.host.serves_ranges:
            first, last = int(asked[1]), min(int(asked[2]), len(content) - 1)
            if first > last:
                self.say(416, b"", **{"Content-Range": f"bytes */{len(content)}"})
                return
            fields["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            body = content[first : last + 1]
            self.say(206, body[: len(body) - cut], **{"Content-Length": str(len(body)), **fields, **changes})
        else:
            self.say(200, content[: len(content) - cut], **{"Content-Length": str(len(content)), **fields, **changes})

    def say(self, status: int, body: bytes, **fields: str | None) -> None:
        fields = {"Content-Length": str(len(body)), **{name.replace("_", "-"): to for name, to in fields.items()}}
        self.send_response(status)
        for name, value in fields.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def reset(self) -> None:
        """Ends the connection with a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no matter."""


@contextmanager
def serving(host: MediaHost, certificate: Path | None = None) -> Iterator[MediaHost]:
    """Serves until the end of the block, over TLS if there is a certificate."""
    server = _Server(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"host": host}))
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    host.port = server.server_port
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
