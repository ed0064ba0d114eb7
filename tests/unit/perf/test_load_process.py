"""The load generator's process, against a small server of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from wildgate_perf.load_process import LoadFailed, LoadProcess
from wildgate_perf.loops import LoadPlan
from wildgate_perf.questions import Questions, by_content, by_uri
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
def scoring() -> Iterator[tuple[FakeScoring, str]]:
    fake = FakeScoring()
    server = grpc.server(ThreadPoolExecutor(4))
    scoring_pb2_grpc.add_ScoringServiceServicer_to_server(fake, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield fake, f"127.0.0.1:{port}"
    server.stop(None)


@pytest.fixture(scope="module")
def load() -> Iterator[LoadProcess]:
    with LoadProcess() as process:
        yield process


def test_each_question_once(load: LoadProcess, scoring: tuple[FakeScoring, str]) -> None:
    fake, target = scoring
    fake.asked.clear()
    loaded = load.once(by_content(target, [f"video {number}".encode() for number in range(6)]), askers=2)
    assert sorted(fake.asked) == [f"video {number}" for number in range(6)]
    assert loaded.answered == len(loaded.result.answers) == 6
    assert loaded.result.stages_ms(0.5) == {"infer": 2.5}
    assert loaded.cpu_s > 0
    assert loaded.wall_s > 0


def test_a_closed_loop_goes_round_the_questions(load: LoadProcess, scoring: tuple[FakeScoring, str]) -> None:
    fake, target = scoring
    fake.asked.clear()
    loaded = load.closed(by_uri(target, ["x:1", "x:2"]), LoadPlan(1, 0.0, 0.1))
    assert fake.asked[:4] == ["x:1", "x:2", "x:1", "x:2"]
    assert loaded.answered == len(fake.asked)
    assert loaded.result.failures == ()


def test_refusals_and_cached_answers_are_failures(load: LoadProcess, scoring: tuple[FakeScoring, str]) -> None:
    _, target = scoring
    loaded = load.open(by_uri(target, ["x:1", "x:full", "x:cached", "x:2"]), 100, 0.08)
    assert loaded.result.failures == {"RESOURCE_EXHAUSTED": 2, "CACHED": 2}
    assert loaded.answered == 4
    assert load.once(by_uri(target, ["x:shared"]), 1).result.failures[0].startswith("AnswerFailed: CACHED")
    expecting = Questions(target, by_uri(target, []).method, by_uri(target, ["x:cached", "x:1"]).requests, cached=True)
    assert load.open(expecting, 100, 0.04).result.failures == {"CACHED": 2}


def test_two_take_turns(load: LoadProcess, scoring: tuple[FakeScoring, str]) -> None:
    fake, target = scoring
    fake.asked.clear()
    loaded = load.alternating([by_uri(target, ["x:a"]), by_uri(target, ["x:b"])], 0.0)
    assert fake.asked == ["x:a", "x:b", "x:a", "x:b"]
    assert [len(measured.answers) for measured in loaded.result] == [1, 1]


def test_what_cannot_be_run_is_told_and_forgiven(load: LoadProcess, scoring: tuple[FakeScoring, str]) -> None:
    with pytest.raises(LoadFailed, match="TypeError"):
        load.closed(by_uri(scoring[1], ["x:1"]), LoadPlan(1, 0.0, "a while"))  # type: ignore[arg-type]
    assert load.once(by_uri(scoring[1], ["x:1"]), 1).answered == 1


def test_a_generator_that_dies_is_told() -> None:
    with LoadProcess() as process:
        process._process.kill()
        with pytest.raises(LoadFailed, match="ended by itself"):
            process.once(by_uri("127.0.0.1:1", ["x:1"]), 1)
