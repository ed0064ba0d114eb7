"""How much of a video is read when it is given by URI, for each kind of container: bytes read over bytes of the file.

The same pictures (15 s, 720x1280, a keyframe every 2 s, about 5 MB) lie in every kind of container; each is scored by a
`file:` URI and by `http:` from a web server that answers byte ranges. The server's answer says what it read, the web
server's own count whether that is true: of the two the larger counts, and both are in the details. The figure of a
kind is the larger one of the two ways.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc

from wildgate_perf.bench.phase import SETTINGS, Bench, Findings, PhaseFailed
from wildgate_perf.range_server import RangeServer, range_server
from wildgate_perf.videos import containers
from wildgate_proto.v1 import scoring_pb2, scoring_pb2_grpc

NONE_DRAWN: dict[str, object] = {"sampling__random_share": 0.0}
"""What is drawn at random is read more of, and which videos these are differs from run to run."""
LOOPBACK: dict[str, object] = {"source__private_networks": ["127.0.0.0/8"]}
"""The web server is on this machine, which no server would read from unless it is told that it may."""
_DEADLINE_S = 30.0


def uri_bytes_fraction(bench: Bench) -> Findings:
    """The fraction of every kind of container, with requests and the web server's count."""
    files = containers(bench.video_folder)
    found: dict[str, dict[str, Any]] = {}
    with (
        range_server(bench.video_folder) as web,
        bench.serving("uri_bytes_fraction", **SETTINGS, **LOOPBACK, **NONE_DRAWN) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        stub = scoring_pb2_grpc.ScoringServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        for kind, file in files.items():
            by_file = _read(stub, file.as_uri(), file)
            web.reset()
            by_http = _with_served(_read(stub, f"{web.url}/{file.name}", file), web)
            found[kind] = {"file": by_file, "http": by_http}
            bench.say(f"uri_bytes_fraction.{kind}: {by_file['fraction']:.4f} file, {by_http['fraction']:.4f} http")
    return Findings(
        {"uri_bytes_fraction": {kind: max(way["fraction"] for way in ways.values()) for kind, ways in found.items()}},
        {"uri_bytes_fraction": {**found, "settings": SETTINGS | LOOPBACK | NONE_DRAWN}},
    )


def _with_served(told: dict[str, Any], sent: RangeServer) -> dict[str, Any]:
    """What the answer told of a video, and what the web server counted; the fraction is that of the larger count."""
    fraction = max(told["read_bytes"], sent.body_bytes) / told["file_bytes"]
    counted = {"served_bytes": sent.body_bytes, "served_requests": sent.requests}
    return told | counted | {"fraction": round(fraction, 5)}


def _read(stub: scoring_pb2_grpc.ScoringServiceStub, uri: str, file: Path) -> dict[str, Any]:
    request = scoring_pb2.ScoreRequest(uri=uri)
    try:
        verdict = stub.Score(request, timeout=_DEADLINE_S).verdict
    except grpc.RpcError as error:
        raise PhaseFailed(f"{file.name} by {uri.partition(':')[0]}: {error.code().name}: {error.details()}") from None
    video, size = verdict.video, file.stat().st_size
    if video.content_bytes != size or not video.read_bytes:
        raise PhaseFailed(f"{file.name} of {size} bytes: the answer tells of {video.read_bytes}/{video.content_bytes}")
    return {
        "fraction": round(video.read_bytes / size, 5),
        "read_bytes": video.read_bytes,
        "read_requests": video.read_requests,
        "file_bytes": size,
    }
