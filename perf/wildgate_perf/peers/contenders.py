"""The peers, each with the best tuning that was found; what else was tried stands beside it.

Milliseconds are processor time for each video on two shared cores, which depends less on what else the machine does
than videos a second do. Differences of a tenth are noise; where settings came out alike, the plainest is used.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from wildgate_perf.peers.grpc_asker import TritonAsker
from wildgate_perf.peers.http_asker import HttpAsker
from wildgate_perf.peers.peer import Peer, python_module
from wildgate_perf.peers.peer_setup import LOOPBACK, PeerSetup, Tuning

__all__ = ["PEERS"]


def _one_worker_per_core(cores: int) -> Tuning:
    return Tuning(workers=cores)


def _serve_bento(setup: PeerSetup) -> list[str]:
    service = f"{__package__}.bentoml_peer:VideoScorer"
    bentoml = os.fspath(Path(sys.executable).with_name("bentoml"))
    return [bentoml, "serve", service, "--host", LOOPBACK, "--port", str(setup.port)]


PEERS = (
    Peer(
        name="litserve",
        title="LitServe",
        packages=("litserve",),
        command=python_module("litserve_peer"),
        asker=HttpAsker,
        tuning=_one_worker_per_core,
        tried=(
            "one worker per core, its default queues: 258 ms, in use",
            "fast_queue (ZeroMQ): 257 ms, but fewer videos a second under eight askers",
            "fast_queue and as many API servers as workers: 270 ms",
            "fast_queue and its batching, 4 videos or 5 ms: 265 ms",
        ),
    ),
    Peer(
        name="bentoml",
        title="BentoML",
        packages=("bentoml",),
        command=_serve_bento,
        asker=HttpAsker,
        tuning=_one_worker_per_core,
        tried=(
            "one worker per core, access log off: 162 ms, in use",
            "one worker more than cores: 157 ms, as many videos a second",
            "two threads in each worker: 162 ms, fewer videos a second",
            "its batching was not tried: batchable APIs take lists, so a body could not be the video alone",
        ),
        environment={"BENTOML_DO_NOT_TRACK": "True"},
    ),
    Peer(
        name="mosec",
        title="mosec",
        packages=("mosec",),
        command=python_module("mosec_peer"),
        asker=HttpAsker,
        tuning=_one_worker_per_core,
        tried=(
            "one worker per core: 170 ms, in use",
            "one worker more than cores: 171 ms",
            "its batching, 4 videos or 5 ms: 160 ms, but no more videos a second",
            "one worker with as many ONNX Runtime threads as cores: 246 ms",
        ),
    ),
    Peer(
        name="ray_serve",
        title="Ray Serve",
        packages=("ray",),
        command=python_module("ray_peer"),
        asker=HttpAsker,
        tuning=_one_worker_per_core,
        tried=(
            "one replica per core, four ongoing requests each: 261 ms, in use",
            "two ongoing requests each: 314 ms",
            "one replica more than cores: 302 ms",
            "RAY_SERVE_THROUGHPUT_OPTIMIZED=1 without direct ingress: 263 ms",
            "RAY_SERVE_ENABLE_HA_PROXY=1 was not tried: it listens on all interfaces, and this run on loopback alone",
        ),
        environment={
            "RAY_USAGE_STATS_ENABLED": "0",
            # Off, Ray's own processes listen on loopback, as they do on the systems it is named for.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        },
    ),
    Peer(
        name="triton",
        title="bare Triton",
        packages=("nvidia-pytriton", "tritonclient"),
        command=python_module("triton_peer"),
        asker=TritonAsker,
        tuning=_one_worker_per_core,
        tried=(
            "one Python model that decodes and detects, one instance per core: 171 ms, in use",
            "one instance more than cores: 180 ms",
            "twice as many instances as cores: 191 ms",
        ),
    ),
)
