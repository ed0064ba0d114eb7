"""mosec: a Rust front with one Python worker per core."""

from __future__ import annotations

import sys
from typing import Any

from mosec import Server, Worker

from wildgate_perf.bench.peers.peer_setup import LOOPBACK, PeerSetup
from wildgate_perf.bench.peers.scorer import Answer


class VideoScorer(Worker):  # type: ignore[misc, unused-ignore]
    """Bytes in, answer out; JSON is mosec's default for answers."""

    def __init__(self) -> None:
        self._scorer = PeerSetup.from_environment().scorer()

    def deserialize(self, data: bytes) -> bytes:
        """The body as it came."""
        return data

    def forward(self, data: bytes) -> Answer:
        """The answer to one video."""
        return self._scorer.score(data)


if __name__ == "__main__":
    setup = PeerSetup.from_environment()
    sys.argv[1:] = [
        *("--address", LOOPBACK, "--port", str(setup.port), "--timeout", "60000", "--log-level", "warning"),
        *("--max-request-size", str(64 << 20), "--path", str(setup.scratch / "mosec")),
    ]
    server: Any = Server()  # type: ignore[no-untyped-call, unused-ignore]
    server.append_worker(VideoScorer, num=setup.workers, timeout=60, route="/score")
    server.run()
