"""The peers, each with the best settings that were found: all run one worker per core; what was tried stands beside.

Milliseconds are processor time per video on two shared cores, which depends less on what else the machine does than
videos per second do. Differences of a tenth are noise; where settings came out alike, the plainest is used.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from wildgate_perf.bench.peers.clients import HttpClient, TritonFileClient
from wildgate_perf.bench.peers.peer_setup import LOOPBACK, Peer, PeerSetup, python_module


def _serve_bento(setup: PeerSetup) -> list[str]:
    service = f"{__package__}.bentoml_peer:VideoScorer"
    bentoml = os.fspath(Path(sys.executable).with_name("bentoml"))
    return [bentoml, "serve", service, "--host", LOOPBACK, "--port", str(setup.port)]


PEERS = (
    Peer(
        name="bentoml",
        title="BentoML",
        packages=("bentoml",),
        command=_serve_bento,
        client=HttpClient,
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
        client=HttpClient,
        tried=(
            "one worker per core: 170 ms, in use",
            "one worker more than cores: 171 ms",
            "its batching, 4 videos or 5 ms: 160 ms, but no more videos a second",
            "one worker with as many ONNX Runtime threads as cores: 246 ms",
        ),
    ),
    Peer(
        name="triton",
        title="bare Triton",
        packages=("nvidia-pytriton", "tritonclient"),
        command=python_module("triton_peer"),
        client=TritonFileClient,
        tried=(
            "one Python model that decodes and detects, one instance per core: 171 ms, in use",
            "one instance more than cores: 180 ms",
            "twice as many instances as cores: 191 ms",
        ),
    ),
)
"""The two strongest frameworks of six that were measured, and Triton without wildgate; the others' figures are in
docs/performance.md."""
