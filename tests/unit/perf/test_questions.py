"""Requests that are serialised beforehand: what a server reads out of them."""

from __future__ import annotations

import numpy as np
from tritonclient.grpc import service_pb2

from wildgate_perf.questions import INFER, SCORE, by_content, by_digest, by_uri, straight_to_triton
from wildgate_proto.v1 import scoring_pb2


def test_scores_are_asked_for_by_each_kind_of_source() -> None:
    sources = {
        "uri": by_uri("host:1", ["file:///a", "file:///b"]),
        "content": by_content("host:1", [b"one", b"two"]),
        "content_digest": by_digest("host:1", ["blake3:1", "blake3:2"]),
    }
    for source, questions in sources.items():
        assert questions.method == SCORE
        read = [scoring_pb2.ScoreRequest.FromString(request) for request in questions.requests]
        assert [request.WhichOneof("source") for request in read] == [source] * 2
    assert scoring_pb2.ScoreRequest.FromString(sources["content"].requests[1]).content == b"two"
    assert [sources[source].cached for source in sources] == [False, False, True]


def test_triton_gets_the_tensors_of_one_row() -> None:
    questions = straight_to_triton("host:1", [(b"clip bytes", (0, 1, 2, 300, -1, 5, 6, 7), 270)])
    assert questions.method == INFER
    request = service_pb2.ModelInferRequest.FromString(questions.requests[0])
    assert request.model_name == "video_scorer"
    assert [output.name for output in request.outputs] == ["DETECTIONS"]
    tensors = {
        tensor.name: np.frombuffer(raw, {"UINT8": "u1", "INT32": "<i4"}[tensor.datatype]).reshape(tensor.shape)
        for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
    }
    assert tensors["CLIP"].tobytes() == b"clip bytes"
    assert tensors["CLIP"].shape == (1, 10)
    assert tensors["FRAME_INDEX"].tolist() == [[0, 1, 2, 300, -1, 5, 6, 7]]
    assert tensors["ROTATION"].tolist() == [[270]]
