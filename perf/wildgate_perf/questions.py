"""What load generators ask: gRPC requests, serialised beforehand, so that asking costs little but the sending.

A generator that builds 8 MB messages while it measures takes the cores that it wants to measure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from tritonclient.grpc import service_pb2

from wildgate_proto.v1 import scoring_pb2
from wildgate_server.repository.model_configs import VIDEO_SCORER
from wildgate_server.stages import Stage

__all__ = [
    "INFER",
    "SCORE",
    "Questions",
    "TritonRow",
    "by_content",
    "by_digest",
    "by_uri",
    "cost_nothing",
    "sampled_by_the_caller",
    "straight_to_triton",
    "triton_request",
]

SCORE = "/wildgate.v1.ScoringService/Score"
INFER = "/inference.GRPCInferenceService/ModelInfer"

TritonRow: TypeAlias = tuple[bytes, tuple[int, ...], int]
"""CLIP, FRAME_INDEX and ROTATION."""


@dataclass(frozen=True)
class Questions:
    """Requests, asked in turn, to one method of one gRPC target; each may take `deadline_s`.

    `cached` is whether verdicts are to come from the cache, or from the scoring of an equal video. One that does not
    (or does) counts as a failure: it would measure something else. `files` are videos that the caller samples itself,
    each time anew, by the models of `repository`; then there are no requests beforehand.
    """

    target: str
    method: str
    requests: tuple[bytes, ...] = field(repr=False)
    deadline_s: float = 10.0
    cached: bool = False
    files: tuple[Path, ...] = ()
    repository: Path = Path()


def cost_nothing(verdict: scoring_pb2.Verdict) -> bool:
    """Whether nobody looked at the video for this verdict: it was in the cache, or another request's was shared."""
    return verdict.cached or any(timing.stage == Stage.SHARED for timing in verdict.timings)


def by_uri(target: str, uris: Iterable[str]) -> Questions:
    """Score, for each of the videos at `uris`."""
    return Questions(target, SCORE, tuple(scoring_pb2.ScoreRequest(uri=uri).SerializeToString() for uri in uris))


def by_content(target: str, contents: Iterable[bytes], *, cached: bool = False) -> Questions:
    """Score, for each of the videos whose bytes are given."""
    requests = tuple(scoring_pb2.ScoreRequest(content=content).SerializeToString() for content in contents)
    return Questions(target, SCORE, requests, cached=cached)


def by_digest(target: str, digests: Iterable[str]) -> Questions:
    """Score, for each of the videos of which only the digest is told."""
    requests = tuple(scoring_pb2.ScoreRequest(content_digest=digest).SerializeToString() for digest in digests)
    return Questions(target, SCORE, requests, cached=True)


def straight_to_triton(target: str, clips: Sequence[TritonRow]) -> Questions:
    """ModelInfer of the ensemble, one row for each of `clips`."""
    return Questions(target, INFER, tuple(map(triton_request, clips)))


def sampled_by_the_caller(target: str, files: Iterable[Path], repository: Path) -> Questions:
    """ModelInfer of the ensemble, for clips that the caller samples from `files` as a gateway would."""
    return Questions(target, INFER, (), files=tuple(files), repository=repository)


def triton_request(row: TritonRow) -> bytes:
    """ModelInfer of the ensemble for one row, serialised."""
    clip, frame_index, rotation = row
    request = service_pb2.ModelInferRequest(model_name=VIDEO_SCORER)
    index = b"".join(place.to_bytes(4, "little", signed=True) for place in frame_index)
    tensors = (
        ("CLIP", "UINT8", len(clip), clip),
        ("FRAME_INDEX", "INT32", len(frame_index), index),
        ("ROTATION", "INT32", 1, rotation.to_bytes(4, "little", signed=True)),
    )
    for name, datatype, width, raw in tensors:
        request.inputs.add(name=name, datatype=datatype, shape=[1, width])
        request.raw_input_contents.append(raw)
    request.outputs.add(name="DETECTIONS")
    serialised: bytes = request.SerializeToString()
    return serialised
