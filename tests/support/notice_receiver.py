"""A platform that receives notices over HTTP, checks them as platforms should, and misbehaves where it is told to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

from wildgate_enforcement.notices.webhooks import ForgedNotice, Notice, NoticeCheck


@dataclass
class NoticeReceiver:
    """What arrived, and how to answer: `statuses` one after another, then 204."""

    check: NoticeCheck
    url: str = ""
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    drips: bool = False
    """Sends its answer a byte now and then, and never ends."""
    dies: bool = False
    """Takes notices in, and ends before it answers."""
    notices: list[Notice] = field(default_factory=list)
    forged: list[str] = field(default_factory=list)
    requests: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)


@contextmanager
def notice_receiver(*secrets: str, statuses: Sequence[int] = ()) -> Iterator[NoticeReceiver]:
    """Receives on a free port of loopback while the context lasts."""
    receiver = NoticeReceiver(NoticeCheck(secrets), statuses=list(statuses))
    ended = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.requests.append((body, dict(self.headers)))
            status = receiver.statuses.pop(0) if receiver.statuses else 204
            if receiver.drips:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not ended.wait(0.05):
                    try:
                        self.wfile.write(b"x")
                    except OSError:
                        return
                return
            if status == 204:
                try:
                    receiver.notices.append(receiver.check.check(body, dict(self.headers)))
                except ForgedNotice as error:
                    receiver.forged.append(str(error))
                    status = 401
            if receiver.dies:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/notices"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
