"""A peer as small as can be: answers every POST with the JSON in FAKE_PEER_ANSWER, or misbehaves as told."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from wildgate_perf.bench.peers.peer_setup import LOOPBACK, PeerSetup


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one packet: in two, the second waits 40 ms for the first to be acknowledged

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        failing = os.environ.get("FAKE_PEER_FAILS") == "1"
        work(float(os.environ.get("FAKE_PEER_WORK_S", "0")))
        body = b"no mood" if failing else os.environ["FAKE_PEER_ANSWER"].encode()
        self.send_response(500 if failing else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def work(cpu_s: float) -> None:
    """Uses so many seconds of processor time, however long that takes."""
    done_s = time.thread_time() + cpu_s
    while time.thread_time() < done_s:
        pass


def main(setup: PeerSetup) -> None:
    if os.environ.get("FAKE_PEER_ENDS") == "1":
        print("cannot find my model", flush=True)
        raise SystemExit(3)
    if note := os.environ.get("FAKE_PEER_CHILD"):
        # A child of a session of its own, as daemons are.
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        with open(note, "w", encoding="utf-8") as file:
            file.write(str(child.pid))
    time.sleep(0.05)  # not there at once, as real ones
    ThreadingHTTPServer((LOOPBACK, setup.port), Handler).serve_forever()


if __name__ == "__main__":
    main(PeerSetup.from_environment())
