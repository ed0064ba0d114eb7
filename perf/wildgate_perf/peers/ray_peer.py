"""Ray Serve: one replica per core behind Ray's HTTP proxy.

Every replica also opens a port for calls between deployments, of which there are none here. It takes pickles, and on
all interfaces whatever is set, so it is put on loopback like everything else before it opens.
"""

from __future__ import annotations

import signal
import threading

import ray
from ray import serve
from starlette.requests import Request

from wildgate_perf.peers.detector import Answer, open_detector
from wildgate_perf.peers.peer_setup import LOOPBACK, PeerSetup

_ONGOING = 4  # at a replica: one is worked on, and the next is there already
_OBJECT_STORE_BYTES = 200 << 20  # requests and answers do not go through it


class VideoScorer:
    """Bytes in, answer out."""

    def __init__(self, setup: PeerSetup) -> None:
        _keep_to_loopback()
        self._scorer = open_detector(setup.graph, setup.letterbox_value, setup.tuning.intra_threads)

    async def __call__(self, request: Request) -> Answer:
        """The answer to the video in the request's body; Ray makes JSON of it."""
        return self._scorer.score(await request.body())


def _keep_to_loopback() -> None:
    from ray.serve._private import replica

    add_port = replica.add_port_to_grpc_server
    replica.add_port_to_grpc_server = lambda server, address, *rest: add_port(server, f"{LOOPBACK}:0", *rest)


def main(setup: PeerSetup) -> None:
    """Serves until it is ended."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    ray.init(
        num_cpus=setup.tuning.workers,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        _temp_dir=str(setup.scratch),
    )
    serve.start(http_options={"host": LOOPBACK, "port": setup.port}, logging_config={"enable_access_log": False})
    replicas = serve.deployment(num_replicas=setup.tuning.workers, max_ongoing_requests=_ONGOING)(VideoScorer)
    serve.run(replicas.bind(setup), route_prefix="/score")
    stop.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main(PeerSetup.from_environment())
