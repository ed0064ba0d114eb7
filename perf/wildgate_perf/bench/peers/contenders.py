"""Who takes part: wildgate, the peers and the common script.

Peers have the best settings that were found: all run one worker per core; what was tried stands beside. Milliseconds
are processor time per video on two shared cores, which depends less on what else the machine does than videos per
second do. Differences of a tenth are noise; where settings came out alike, the plainest is used.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from wildgate_perf.bench.peers.common_script import CommonScript
from wildgate_perf.bench.peers.http_peer import HttpPeer, running
from wildgate_perf.bench.peers.peer_setup import LOOPBACK, PeerSetup
from wildgate_perf.bench.peers.scorer import Answer
from wildgate_perf.bench.phase import SETTINGS, Bench, Way
from wildgate_perf.load_generator import LoadGenerator
from wildgate_perf.server_parts import available_cores, free_port
from wildgate_perf.workloads import by_content, by_uri
from wildgate_proto.v1 import scoring_pb2 as pb
from wildgate_proto.v1 import scoring_pb2_grpc

_DEADLINE_S = 60.0
_CHANNEL_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


def _bentoml_command(setup: PeerSetup) -> list[str]:
    program, service = Path(sys.executable).with_name("bentoml"), f"{__package__}.bentoml_peer:VideoScorer"
    return [os.fspath(program), "serve", service, "--host", LOOPBACK, "--port", str(setup.port)]


PEERS = {
    "bentoml": HttpPeer(
        title="BentoML",
        packages=("bentoml",),
        command=_bentoml_command,
        tried=(
            "one worker per core, access log off: 162 ms, in use",
            "one worker more than cores: 157 ms, as many videos a second",
            "two threads in each worker: 162 ms, fewer videos a second",
            "its batching was not tried: batchable APIs take lists, so a body could not be the video alone",
        ),
        environment={"BENTOML_DO_NOT_TRACK": "True"},
    ),
    "mosec": HttpPeer(
        title="mosec",
        packages=("mosec",),
        command=lambda setup: [sys.executable, "-m", f"{__package__}.mosec_peer"],
        tried=(
            "one worker per core: 170 ms, in use",
            "one worker more than cores: 171 ms",
            "its batching, 4 videos or 5 ms: 160 ms, but no more videos a second",
            "one worker with as many ONNX Runtime threads as cores: 246 ms",
        ),
    ),
    "triton": HttpPeer(
        title="bare Triton",
        packages=("nvidia-pytriton",),
        command=lambda setup: [sys.executable, "-m", f"{__package__}.triton_peer"],
        tried=(
            "one Python model that decodes and detects, one instance per core: 171 ms, in use",
            "one instance more than cores: 180 ms",
            "twice as many instances as cores: 191 ms",
        ),
        path="/v2/models/whole_video/infer",
        headers={"Inference-Header-Content-Length": "0"},  # the body is the one input, raw
    ),
}
"""The two strongest frameworks of six that were measured, and Triton without wildgate; the others' figures are in
docs/performance.md."""


@dataclass(frozen=True)
class Material:
    """What everybody works on; `expected` are the answers that have to come out."""

    bench: Bench
    graph: Path
    letterbox_value: int
    labels: tuple[str, ...]
    videos: tuple[Path, ...]
    expected: Mapping[Path, Answer]


Started = tuple[Callable[[Path], Answer], Way]
"""What answers about one video, and what is measured."""


@dataclass(frozen=True)
class Contender:
    """One that takes part; `tolerance` is how far a score may be off. `start` raises PhaseFailed and LoadFailed."""

    title: str
    packages: tuple[str, ...]
    tolerance: float
    start: Callable[[Material], AbstractContextManager[Started]]
    facts: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def _wildgate(material: Material, *, uri: bool) -> Iterator[Started]:
    folders = sorted({file.parent.resolve() for file in (*material.videos, *material.expected)})
    with (
        material.bench.serving("peers", **SETTINGS, source__file_roots=folders) as server,
        grpc.insecure_channel(server.target, _CHANNEL_OPTIONS) as channel,
        LoadGenerator() as load,
    ):
        stub = scoring_pb2_grpc.ScoringServiceStub(channel)  # type: ignore[no-untyped-call]  # generated

        def answer(video: Path) -> Answer:
            source = {"uri": video.resolve().as_uri()} if uri else {"content": video.read_bytes()}
            return answer_of(stub.Score(pb.ScoreRequest(**source), timeout=_DEADLINE_S).verdict, material.labels)

        if uri:
            workload = by_uri(server.target, [video.resolve().as_uri() for video in material.videos])
        else:
            workload = by_content(server.target, [video.read_bytes() for video in material.videos])
        yield answer, Way(load, workload, material.bench.clients, server.cpu_times)


def answer_of(verdict: pb.Verdict, labels: tuple[str, ...]) -> Answer:
    """A verdict as peers answer; `labels` are the detector's, in its order."""
    times_s = list(verdict.coverage.looked_at_s)
    rows = []
    for each in verdict.detections:
        corners = (each.box.x1, each.box.y1, each.box.x2, each.box.y2)
        rows.append([times_s.index(each.time_s), *corners, each.score, labels.index(each.label)])
    return {"times_s": times_s, "detections": rows}


@contextmanager
def _http(material: Material, *, peer: HttpPeer) -> Iterator[Started]:
    smallest = min(material.expected, key=lambda video: video.stat().st_size)
    with tempfile.TemporaryDirectory(prefix="wildgate-peer-", ignore_cleanup_errors=True) as folder:
        setup = PeerSetup(material.graph, material.letterbox_value, free_port(), Path(folder), available_cores())
        with running(peer, setup, material.videos, smallest) as (posts, cpu_times), LoadGenerator() as load:
            yield posts.answer, Way(load, posts, material.bench.clients, cpu_times)


@contextmanager
def _script(material: Material) -> Iterator[Started]:
    script = CommonScript(material.graph, material.letterbox_value, material.videos)
    with LoadGenerator(available_cores()) as load:
        yield script.answer, Way(load, script, 1)


CONTENDERS = {
    "wildgate": Contender("wildgate", ("wildgate",), 0.1, partial(_wildgate, uri=False), {"settings": SETTINGS}),
    "wildgate_uri": Contender(
        "wildgate, by file: URI", ("wildgate",), 0.1, partial(_wildgate, uri=True), {"settings": SETTINGS}
    ),
    **{
        name: Contender(peer.title, peer.packages, 0.02, partial(_http, peer=peer), {"tried": peer.tried})
        for name, peer in PEERS.items()
    },
    "common_script": Contender("common script (OpenCV)", ("opencv-python-headless",), 0.15, _script),
}
