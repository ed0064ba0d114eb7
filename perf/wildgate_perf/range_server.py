"""A web server for one folder that answers byte ranges (Werkzeug does), and counts what it sent."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flask import Flask, Response, send_from_directory
from werkzeug.serving import WSGIRequestHandler, make_server


@dataclass
class RangeServer:
    """A running server: `url` is that of the folder, without a slash at its end.

    Requests and the bytes of bodies are counted before they are sent, so that whoever got an answer finds it counted.
    """

    url: str = ""
    requests: int = 0
    body_bytes: int = 0

    def reset(self) -> None:
        """Counting begins anew."""
        self.requests = self.body_bytes = 0


class _KeepsConnections(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"


@contextmanager
def range_server(folder: Path) -> Iterator[RangeServer]:
    """Serves the files in `folder` on a free loopback port, in threads of this process."""
    counted, lock, app = RangeServer(), threading.Lock(), Flask(__name__)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # counting is enough

    @app.get("/<path:name>")
    def file(name: str) -> Response:
        return send_from_directory(folder.resolve(), name)

    @app.after_request
    def count(response: Response) -> Response:
        with lock:
            counted.requests += 1
            counted.body_bytes += response.content_length or 0
        return response

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_KeepsConnections)
    thread = threading.Thread(target=server.serve_forever, name="range server")
    thread.start()
    try:
        counted.url = f"http://127.0.0.1:{server.server_port}"
        yield counted
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
