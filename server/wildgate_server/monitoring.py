"""What a server tells those who run it, over HTTP: metrics, liveness, readiness and other pages."""

from __future__ import annotations

import asyncio
import socket
import threading
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from socketserver import TCPServer, ThreadingMixIn
from time import monotonic
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from wildgate_server.errors import StartError
from wildgate_server.server_metrics import ServerMetrics

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["Page", "monitoring", "page_at"]

_REQUESTS_AT_ONCE = 8
_BEAT_S, _DEAD_S = 1.0, 10.0
_PASSED_ON_S = 2.0
_TEXT = [("Content-Type", "text/plain; charset=utf-8")]

Page = Callable[[], bytes]
"""Makes a page of plain text, in a thread of its own. Raises OSError where it cannot be had now."""


@asynccontextmanager
async def monitoring(
    address: str | None, metrics: ServerMetrics, ready: Callable[[], bool], pages: Mapping[str, Page] | None = None
) -> AsyncIterator[None]:
    """Serves /metrics, /healthz, /readyz and `pages` (by path) while the context lasts; nothing without an address.

    /healthz is 200 while the event loop runs, and the context lasts; /readyz is 200 while `ready()`. Raises StartError.
    """
    metrics.gauge("wildgate_ready", "1 while requests are answered.", ready)
    if address is None:
        yield
        return
    host, _, port = address.rpartition(":")
    try:
        http = _Server(host.strip("[]"), int(port))
    except OSError as error:
        raise StartError(f"cannot serve metrics at {address}: {error}") from error
    pulse = _Pulse()
    http.set_app(_App(metrics, pulse, ready, pages or {}))
    thread = threading.Thread(target=http.serve_forever, name="monitoring", daemon=True)
    thread.start()
    beating = asyncio.create_task(pulse.run(), name="monitoring")
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.to_thread(http.shutdown)
        http.server_close()
        thread.join()


def page_at(url: Callable[[], str]) -> Page:
    """The page that another server on this machine has at `url()`."""

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def read() -> bytes:
        with opener.open(url(), timeout=_PASSED_ON_S) as answer:
            page: bytes = answer.read()
            return page

    return read


@dataclass
class _Pulse:
    """When the event loop last ran, in monotonic seconds."""

    at_s: float = 0.0

    @property
    def beats(self) -> bool:
        return monotonic() - self.at_s < _DEAD_S

    async def run(self) -> None:
        while True:
            self.at_s = monotonic()
            await asyncio.sleep(_BEAT_S)


class _App:
    """Answers by path."""

    def __init__(
        self, metrics: ServerMetrics, pulse: _Pulse, ready: Callable[[], bool], pages: Mapping[str, Page]
    ) -> None:
        self._metrics = make_wsgi_app(metrics.registry)
        self._probes = {"/healthz": lambda: pulse.beats, "/readyz": ready}
        self._pages = pages

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            exposition: Iterable[bytes] = self._metrics(environ, start_response)
            return exposition
        status, body = "404 Not Found", b"/metrics, /healthz, /readyz\n"
        if probe := self._probes.get(path):
            status, body = ("200 OK", b"ok\n") if probe() else ("503 Service Unavailable", b"no\n")
        elif page := self._pages.get(path):
            try:
                status, body = "200 OK", page()
            except OSError as error:
                status, body = "503 Service Unavailable", f"{error}\n".encode()
        start_response(status, [*_TEXT, ("Content-Length", str(len(body)))])
        return [body]


class _Handler(WSGIRequestHandler):
    timeout = 5.0  # without a byte

    def log_message(self, format: str, *args: object) -> None:
        """Each scrape would be a line."""


class _Server(ThreadingMixIn, WSGIServer):
    """Answers few at once, and closes what is more."""

    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._free = threading.BoundedSemaphore(_REQUESTS_AT_ONCE)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer would ask the DNS for this host's name
        self.server_name, self.server_port = "localhost", self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()
