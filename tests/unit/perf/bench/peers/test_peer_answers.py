"""What is read out of the answers of wildgate and of Triton."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from wildgate_perf.bench.peers.contenders import PEERS, answer_of
from wildgate_perf.bench.peers.http_peer import Posts
from wildgate_proto.v1 import scoring_pb2

ANSWER = {"times_s": [0.0, 2.0], "detections": [[1, 0.25, 0.5, 0.75, 1.0, 0.75, 1]]}


def test_a_verdict_is_read_as_peers_answer() -> None:
    box = scoring_pb2.Box(x1=0.25, y1=0.5, x2=0.75, y2=1)
    verdict = scoring_pb2.Verdict(
        detections=[scoring_pb2.Detection(label="tiger", score=0.75, time_s=2.0, box=box)],
        coverage=scoring_pb2.Coverage(looked_at_s=[0.0, 2.0]),
    )
    assert answer_of(verdict, ("lion", "tiger")) == ANSWER


class LikeTriton(BaseHTTPRequestHandler):
    """Answers as Triton does where the request is raw: JSON of its own, then a length of 4 bytes, then the output."""

    asked: dict[str, object]

    def do_POST(self) -> None:
        LikeTriton.asked = {
            "path": self.path,
            "before": self.headers["Inference-Header-Content-Length"],
            "body": self.rfile.read(int(self.headers["Content-Length"])),
        }
        before, answer = b'{"model_name": "whole_video"}', json.dumps(ANSWER).encode()
        body = before + len(answer).to_bytes(4, "little") + answer
        self.send_response(200)
        self.send_header("Inference-Header-Content-Length", str(len(before)))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), LikeTriton) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_triton_is_asked_with_the_raw_file(url: str, tmp_path: Path) -> None:
    video, peer = tmp_path / "video.mp4", PEERS["triton"]
    video.write_bytes(b"\x00\xffvideo")
    assert Posts(url + peer.path, peer.headers, (video,)).answer(video) == ANSWER
    assert LikeTriton.asked == {"path": "/v2/models/whole_video/infer", "before": "0", "body": b"\x00\xffvideo"}
