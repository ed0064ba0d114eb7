"""mosec: a Rust front with one Python worker per core."""

from __future__ import annotations

import sys

from mosec import Server, Worker

from wildgate_perf.peers.detector import Answer, open_detector
from wildgate_perf.peers.peer_setup import PeerSetup


class VideoScorer(Worker):  # type: ignore[misc]
    """Bytes in, answer out; JSON is mosec's default for answers."""

    def __init__(self) -> None:
        super().__init__()
        setup = PeerSetup.from_environment()
        self._scorer = open_detector(setup.graph, setup.letterbox_value, setup.tuning.intra_threads)

    def deserialize(self, data: bytes) -> bytes:
        """The body as it came."""
        return data

    def forward(self, data: bytes | list[bytes]) -> Answer | list[Answer]:
        """The answer, or the answers of a batch."""
        return self._scorer.score_all(data) if isinstance(data, list) else self._scorer.score(data)


def serve(setup: PeerSetup) -> None:
    """Serves until it is ended."""
    server = Server()
    server.append_worker(
        VideoScorer,
        num=setup.tuning.workers,
        max_batch_size=setup.tuning.max_batch,
        max_wait_time=setup.tuning.batch_wait_ms,
        timeout=60,
        route="/score",
    )
    server.run()


if __name__ == "__main__":
    setup = PeerSetup.from_environment()
    sys.argv[1:] = [
        *("--address", "127.0.0.1", "--port", str(setup.port), "--timeout", "60000", "--log-level", "warning"),
        *("--max-request-size", str(64 << 20), "--path", str(setup.scratch / "mosec")),
    ]
    serve(setup)
