"""`wildgate screening` as processes, asked over gRPC."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from gateway_under_test import free_address
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from traffic import samples

from wildgate_proto.v1 import search_pb2 as pb
from wildgate_proto.v1.search_pb2_grpc import SearchServiceStub
from wildgate_search.lexicon import SHIPPED_LEXICON
from wildgate_search.screening_command import screening_command

COMMAND = [str(Path(sys.executable).with_name("wildgate")), "screening", "--listen", "127.0.0.1:0"]


@contextmanager
def screening(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            ready = process.stdout.readline()
            yield ready.split(" on ")[1].split(",")[0].strip(), process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


@pytest.fixture(scope="module")
def channel() -> Iterator[grpc.Channel]:
    with screening() as (target, _), grpc.insecure_channel(target) as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> SearchServiceStub:
    health = health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(service="wildgate.v1.SearchService")
    )
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    return SearchServiceStub(channel)


def test_one_query(stub: SearchServiceStub) -> None:
    answer = stub.Screen(pb.ScreenRequest(query="象牙手串 多少钱", locale="zh-CN"))
    assert answer.action == pb.SEARCH_ACTION_RESTRICT
    assert "买卖" in answer.message
    assert ("象牙", 0, 2) in [(match.term, match.start, match.end) for match in answer.matches]
    nothing = stub.Screen(pb.ScreenRequest(query="ivory soap"))
    assert nothing == pb.ScreenResponse(action=pb.SEARCH_ACTION_NONE, lexicon_version=answer.lexicon_version)
    assert stub.Screen(pb.ScreenRequest(query="ivory soap", explain=True)).notes
    assert len(stub.Screen(pb.ScreenRequest(query="buy rhino horn " * 60)).matches) == 4


def test_a_batch_names_only_what_calls_for_something(stub: SearchServiceStub) -> None:
    queries = ["weather", "buy rhino horn", "x" * 5000, "rhino horn"]
    answer = stub.ScreenBatch(pb.ScreenBatchRequest(queries=queries))
    assert [result.index for result in answer.results] == [1, 2, 3]
    assert answer.results[0].answer.action == pb.SEARCH_ACTION_RESTRICT
    assert answer.results[1].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "queries[2]" in answer.results[1].error.message


@pytest.mark.parametrize("request_", [pb.ScreenRequest(query="x" * 5000), pb.ScreenBatchRequest(queries=["x"] * 2000)])
def test_too_much_is_refused_by_name(
    stub: SearchServiceStub, request_: pb.ScreenRequest | pb.ScreenBatchRequest
) -> None:
    call = stub.Screen if isinstance(request_, pb.ScreenRequest) else stub.ScreenBatch
    with pytest.raises(grpc.RpcError) as refused:
        call(request_)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "quer" in refused.value.details()


def test_its_services_are_told_by_reflection(channel: grpc.Channel) -> None:
    services = ProtoReflectionDescriptorDatabase(channel).get_services()
    assert "wildgate.v1.SearchService" in services


def test_what_was_answered_is_told_in_numbers() -> None:
    metrics = free_address()
    with screening("--metrics", metrics) as (target, _), grpc.insecure_channel(target) as channel:
        answer = SearchServiceStub(channel).ScreenBatch(
            pb.ScreenBatchRequest(queries=["a", "buy rhino horn", "x" * 5000])
        )
        assert samples(metrics, "wildgate_screening_queries_total") == {
            ("none",): 1,
            ("inform",): 0,
            ("restrict",): 1,
            ("too_long",): 1,
        }
        assert samples(metrics, "wildgate_screening_lexicon_info") == {(answer.lexicon_version,): 1}
        handled = samples(metrics, "grpc_server_handled_total")
        assert handled["OK", "ScreenBatch", "wildgate.v1.SearchService", "unary"] == 1
        assert samples(metrics, "wildgate_ready") == {(): 1}


def test_a_reload_under_load_drops_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "lexicon"
    shutil.copytree(SHIPPED_LEXICON, directory)
    with (
        screening("--lexicon", str(directory), "--look-again-s", "0.1") as (target, _),
        grpc.insecure_channel(target) as channel,
    ):
        stub = SearchServiceStub(channel)
        file = directory / "lexicon.yaml"
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("rules:", "rules: [", 1), encoding="utf-8")
        versions = set[str]()
        until = time.monotonic() + 60
        while not any(version.startswith("2+") for version in versions) and time.monotonic() < until:
            answer = stub.Screen(pb.ScreenRequest(query="buy rhino horn"), timeout=20)
            assert answer.action == pb.SEARCH_ACTION_RESTRICT
            if not versions:
                file.write_text(text.replace('version: "1"', 'version: "2"'), encoding="utf-8")
            versions.add(answer.lexicon_version)
        assert {version.partition("+")[0] for version in versions} == {"1", "2"}


def test_several_processes_share_a_port_and_one_that_is_killed_is_replaced() -> None:
    with screening("--processes", "2") as (target, process):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        first, second = map(int, children.read_text().split())
        os.kill(first, signal.SIGKILL)
        until = time.monotonic() + 60
        while len(now := set(map(int, children.read_text().split()))) < 2 or first in now:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert second in now
        for _ in range(8):  # connections go to one or the other
            with grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                request = pb.ScreenRequest(query="buy rhino horn")
                answer = SearchServiceStub(channel).Screen(request, wait_for_ready=True, timeout=30)
                assert answer.action == pb.SEARCH_ACTION_RESTRICT


def test_counts_hold_terms_of_the_lexicon_alone(tmp_path: Path) -> None:
    file = tmp_path / "counts.jsonl"
    options = ("--counts-file", str(file), "--counts.window-s", "1")
    with screening(*options) as (target, _), grpc.insecure_channel(target) as channel:
        queries = ["buy rhino horn from old Mr Smith"] * 200
        until = time.monotonic() + 60
        while not (file.exists() and file.read_text()):
            assert time.monotonic() < until
            SearchServiceStub(channel).ScreenBatch(pb.ScreenBatchRequest(queries=queries))
            time.sleep(0.1)
    assert "rhino horn" in file.read_text()
    assert "mith" not in file.read_text()


def test_a_bad_lexicon_or_port_is_said_at_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert screening_command(["--lexicon", str(tmp_path)]) == 2
    assert "there is no YAML file" in capsys.readouterr().err
    assert screening_command(["--listen", "127.0.0.1:1", "--processes", "0"]) == 2
    assert "processes" in capsys.readouterr().err
    assert screening_command(["--listen", "0.0.0.0:0", "--tls.off"]) == 1
    assert "name access.keys" in capsys.readouterr().err
