"""Real processes: `wildgate enforce`, a block service, and a platform that is told by HTTP."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from checkout import ROOT
from gateway_under_test import PATIENCE_S

WILDGATE = (sys.executable, "-m", "wildgate_client.cli")


@dataclass
class Process:
    """A command that says that it is ready with its first line; it can be killed and started anew."""

    command: tuple[str, ...]
    first_line: str = ""
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def start(self) -> None:
        self._process = subprocess.Popen([*WILDGATE, *self.command], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self._process.stdout
        self.first_line = self._process.stdout.readline()
        assert self.first_line, f"{self.command} ended with {self._process.wait(PATIENCE_S)}"

    def kill(self) -> None:
        """As `kill -9` does."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def stop(self) -> int:
        """As an operator does; returns the exit status."""
        assert self._process
        self._process.terminate()
        status = self._process.wait(PATIENCE_S)
        self._process.communicate()
        self._process = None
        return status


class Platform:
    """Takes what is posted to it, in order of its coming, and answers with 200."""

    def __init__(self) -> None:
        self.posted: list[tuple[dict[str, str], bytes]] = []
        platform = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                platform.posted.append(({key.lower(): value for key, value in self.headers.items()}, body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/notices"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def cases(*arguments: str, server: str, token_file: Path) -> str:
    """What `wildgate cases` prints; fails with what it says instead."""
    done = subprocess.run(
        [*WILDGATE, "cases", *arguments, "--server", server, "--token-file", str(token_file)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
