"""The load generator's process, and what it asks, against a small server of its own."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from wildgate_perf.load_generator import LoadFailed, LoadGenerator
from wildgate_perf.loops import LoadPlan
from wildgate_perf.workloads import INFER, SCORE, InTurns, by_content, by_digest, by_uri, straight_to_triton
from wildgate_proto.v1 import scoring_pb2, scoring_pb2_grpc


class FakeScoring(scoring_pb2_grpc.ScoringServiceServicer):
    """Answers at once; refuses "full", has "cached" from its cache, and "shared" from another's scoring."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.lock = threading.Lock()

    def Score(self, request: scoring_pb2.ScoreRequest, context: grpc.ServicerContext) -> scoring_pb2.ScoreResponse:
        with self.lock:
            self.asked.append(request.uri or request.content.decode())
        if request.uri == "x:full":
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no room: later")
        verdict = scoring_pb2.Verdict(cached=request.uri == "x:cached")
        verdict.timings.add(stage="shared" if request.uri == "x:shared" else "infer", duration_ms=2.5)
        return scoring_pb2.ScoreResponse(verdict=verdict)


@pytest.fixture(scope="module")
def serving() -> Iterator[tuple[FakeScoring, str]]:
    fake = FakeScoring()
    server = grpc.server(ThreadPoolExecutor(4))
    scoring_pb2_grpc.add_ScoringServiceServicer_to_server(fake, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield fake, f"127.0.0.1:{port}"
    server.stop(None)


@pytest.fixture
def scoring(serving: tuple[FakeScoring, str]) -> tuple[FakeScoring, str]:
    serving[0].asked.clear()
    return serving


@pytest.fixture(scope="module")
def load() -> Iterator[LoadGenerator]:
    with LoadGenerator() as generator:
        yield generator


def once(count: int, clients: int = 1) -> LoadPlan:
    return LoadPlan(clients, 0.0, 100.0, requests=count)


def test_each_request_once(load: LoadGenerator, scoring: tuple[FakeScoring, str]) -> None:
    fake, target = scoring
    videos = [f"video {number}" for number in range(6)]
    measured = load.closed(by_content(target, map(str.encode, videos)), once(6, clients=2))
    assert sorted(fake.asked) == videos
    assert measured.answered == len(measured.answers) == 6
    assert measured.stages_ms(0.5) == {"infer": 2.5}
    assert measured.cpu_s > 0
    assert measured.wall_s > 0


def test_a_closed_loop_goes_round_the_requests(load: LoadGenerator, scoring: tuple[FakeScoring, str]) -> None:
    fake, target = scoring
    measured = load.closed(by_uri(target, ["x:1", "x:2"]), LoadPlan(1, 0.0, 0.1))
    assert fake.asked[:4] == ["x:1", "x:2", "x:1", "x:2"]
    assert measured.answered == len(fake.asked)
    assert measured.failures == {}


def test_refusals_and_cached_answers_are_failures(load: LoadGenerator, scoring: tuple[FakeScoring, str]) -> None:
    _, target = scoring
    measured = load.open(by_uri(target, ["x:1", "x:full", "x:cached", "x:2"]), 100, 0.08, warm_up_s=0)
    assert measured.failures == {"RESOURCE_EXHAUSTED": 2, "CACHED": 2}
    assert measured.answered == 4
    assert load.closed(by_uri(target, ["x:shared"]), once(1)).failures == {"CACHED": 1}
    expecting = replace(by_uri(target, ["x:cached", "x:1"]), cached=True)
    assert load.open(expecting, 100, 0.04, warm_up_s=0).failures == {"CACHED": 2}


def test_two_take_turns(load: LoadGenerator, scoring: tuple[FakeScoring, str]) -> None:
    fake, target = scoring
    turns = InTurns((by_uri(target, ["x:a", "x:c"]), by_uri(target, ["x:b"])))
    assert load.closed(turns, once(5)).answered == 5
    assert fake.asked == ["x:a", "x:b", "x:c", "x:b", "x:a"]


def test_several_processes_begin_with_different_requests_and_count_as_one(scoring: tuple[FakeScoring, str]) -> None:
    fake, target = scoring
    with LoadGenerator(2) as both:
        measured = both.closed(by_uri(target, ["x:1", "x:2"]), once(1))
        assert len(set(both.pids)) == 2
    assert sorted(fake.asked) == ["x:1", "x:2"]
    assert len(measured.answers) == 2


def test_what_cannot_be_run_is_told_and_forgiven(load: LoadGenerator, scoring: tuple[FakeScoring, str]) -> None:
    with pytest.raises(LoadFailed, match="TypeError"):
        load.closed(by_uri(scoring[1], ["x:1"]), LoadPlan(1, 0.0, "a while"))  # type: ignore[arg-type]
    assert load.closed(by_uri(scoring[1], ["x:1"]), once(1)).answered == 1


def test_a_generator_that_dies_is_told() -> None:
    with LoadGenerator() as generator:
        os.kill(generator.pids[0], signal.SIGKILL)
        with pytest.raises(LoadFailed, match="a process of the load generator ended by itself"):
            generator.closed(by_uri("127.0.0.1:1", ["x:1"]), once(1))


def test_scores_are_asked_for_by_each_kind_of_source() -> None:
    sources = {
        "uri": by_uri("host:1", ["file:///a", "file:///b"]),
        "content": by_content("host:1", [b"one", b"two"]),
        "content_digest": by_digest("host:1", ["blake3:1", "blake3:2"]),
    }
    for source, workload in sources.items():
        assert workload.method == SCORE
        read = [scoring_pb2.ScoreRequest.FromString(request) for request in workload.requests]
        assert [request.WhichOneof("source") for request in read] == [source] * 2
    assert scoring_pb2.ScoreRequest.FromString(sources["content"].requests[1]).content == b"two"
    assert [sources[source].cached for source in sources] == [False, False, True]


def test_triton_gets_the_tensors_of_one_row() -> None:
    workload = straight_to_triton("host:1", [(b"clip bytes", (0, 1, 2, 300, -1, 5, 6, 7), (270, 1, 4, 3))])
    assert workload.method == INFER
    request = service_pb2.ModelInferRequest.FromString(workload.requests[0])
    assert request.model_name == "video_scorer"
    assert not request.outputs, "all of them"
    tensors = {
        tensor.name: np.frombuffer(raw, {"UINT8": "u1", "INT32": "<i4"}[tensor.datatype]).reshape(tensor.shape)
        for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
    }
    assert tensors["CLIP"].tobytes() == b"clip bytes"
    assert tensors["CLIP"].shape == (1, 10)
    assert tensors["FRAME_INDEX"].tolist() == [[0, 1, 2, 300, -1, 5, 6, 7]]
    assert tensors["DISPLAY"].tolist() == [[270, 1, 4, 3]]


def test_a_model_may_be_given_a_row_several_times() -> None:
    workload = straight_to_triton(
        "host:1", [(b"clip", (0, 1), (90, 0, 1, 1))], model="clip_decoder", output="FRAMES", rows=3
    )
    request = service_pb2.ModelInferRequest.FromString(workload.requests[0])
    assert (request.model_name, request.outputs[0].name) == ("clip_decoder", "FRAMES")
    assert [list(tensor.shape) for tensor in request.inputs] == [[3, 4], [3, 2], [3, 4]]
    assert request.raw_input_contents[0] == b"clipclipclip"
