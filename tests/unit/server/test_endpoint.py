"""The whole front of the gateway under attack, over real connections; behind it a scripted pipeline."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import grpc
import pytest
from fake_pipeline import PATIENCE_S, FakePipeline
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from wildgate_proto.v1 import scoring_pb2 as pb
from wildgate_proto.v1.scoring_pb2_grpc import ScoringServiceStub
from wildgate_server.admission import Admission, AdmissionSettings
from wildgate_server.endpoint import grpc_server, health_server
from wildgate_server.metrics import Metrics
from wildgate_server.readiness import Readiness
from wildgate_server.service import SERVICE_NAME, ScoringService
from wildgate_server.transport import ServerTls, listen

MB = 1 << 20
SCORE, STREAM = f"/{SERVICE_NAME}/Score", f"/{SERVICE_NAME}/ScoreStream"
ANSWERS_AT_ONCE = 4


@dataclass
class Front:
    address: str
    pipeline: FakePipeline
    admission: Admission
    metrics: Metrics

    def connection(self, *options: tuple[str, int]) -> grpc.aio.Channel:
        """A connection of its own."""
        return grpc.aio.insecure_channel(self.address, options=[("grpc.use_local_subchannel_pool", 1), *options])


async def ready() -> bool:
    return True


@asynccontextmanager
async def front(
    *, max_connections: int = 100, max_connection_age_s: float | None = None, **limits: float
) -> AsyncIterator[Front]:
    settings = AdmissionSettings(**{"max_arriving_mb": 1, "stream_concurrency": ANSWERS_AT_ONCE, **limits})
    pipeline, admission, readiness = FakePipeline(), Admission(settings), Readiness((SERVICE_NAME,), ready)
    metrics = Metrics()
    service = ScoringService(pipeline, admission, metrics, settings)
    server = grpc_server(
        service,
        readiness,
        metrics=metrics,
        limits=settings,
        max_video_bytes=4 * MB,
        max_connections=max_connections,
        max_connection_age_s=max_connection_age_s,
    )
    await readiness.update()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield Front(f"127.0.0.1:{port}", pipeline, admission, metrics)
    await server.stop(None)


async def assert_serves(served: Front) -> None:
    """Another caller has a video scored, alone and in a stream, and is told that the server is healthy."""
    async with asyncio.timeout(PATIENCE_S), served.connection() as channel:
        stub, good = ScoringServiceStub(channel), pb.ScoreRequest(video_id="good", content=b"good")
        assert (await stub.Score(good)).verdict.model_version == "good"
        answers = [answer async for answer in stub.ScoreStream(iter([pb.ScoreStreamRequest(request=good)]))]
        assert [answer.verdict.model_version for answer in answers] == ["good"]
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING


async def refusal(call: grpc.aio.Call) -> tuple[grpc.StatusCode, str]:
    """Status and reason of a call that is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        async with asyncio.timeout(PATIENCE_S):
            await call.read() if hasattr(call, "read") else await call
    status, info = rpc_status.from_call(raised.value), error_details_pb2.ErrorInfo()
    if status:
        status.details[0].Unpack(info)
    return raised.value.code(), info.reason


@pytest.mark.parametrize("method", [SCORE, STREAM, "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"])
async def test_calls_that_send_nothing_keep_nobody_out(method: str) -> None:
    async with front(max_streams=400) as served, served.connection() as attacker:
        idle = [attacker.stream_stream(method)() for _ in range(120)]
        for call in idle[-5:]:
            await call.wait_for_connection()
        await assert_serves(served)
        assert not all(call.done() for call in idle), "it is still going on"


async def test_a_message_that_does_not_arrive_ends_its_call() -> None:
    async with front(arrival_timeout_s=0.2) as served, served.connection() as attacker:
        for method in (SCORE, "/grpc.health.v1.Health/Check"):
            assert await refusal(attacker.stream_stream(method)()) == (
                grpc.StatusCode.DEADLINE_EXCEEDED,
                "DEADLINE_EXCEEDED",
            )
        assert served.admission.in_flight == 0


async def test_a_full_server_refuses_a_video_before_it_has_come() -> None:
    async with front(max_in_flight=1) as served, served.connection() as channel:
        held = ScoringServiceStub(channel).Score(pb.ScoreRequest(content=b"hold"))
        await served.pipeline.until(1)
        unsent = channel.stream_stream(SCORE)()  # no message, and still it is answered
        assert await refusal(unsent) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert served.metrics.registry.get_sample_value("wildgate_refusal_seconds_count") == 1
        served.pipeline.held.set()
        await held


async def test_who_does_not_take_its_answers_gets_no_more_of_them_and_loses_its_places() -> None:
    async with front(answer_timeout_s=0.3) as served, served.connection(("grpc.http2.lookahead_bytes", 1)) as attacker:
        call = attacker.stream_stream(STREAM, request_serializer=pb.ScoreStreamRequest.SerializeToString)()
        large = pb.ScoreStreamRequest(request=pb.ScoreRequest(content=b"x" * (3 * MB)))

        async def keep_sending() -> None:
            while True:
                await call.write(large)

        sending = asyncio.create_task(keep_sending())
        async with asyncio.timeout(PATIENCE_S):
            while not served.admission.in_flight or served.pipeline.inside:
                await asyncio.sleep(0.01)  # all are scored, and hold their places until their answers are taken
            await served.admission.drained()
        await assert_serves(served)
        assert len(served.pipeline.calls) < 5 * ANSWERS_AT_ONCE, "the network holds some, but it was sent without end"
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_a_long_video_id_is_not_echoed() -> None:
    async with front() as served, served.connection() as channel:
        long = pb.ScoreStreamRequest(request=pb.ScoreRequest(video_id="x" * MB, content=b"fine"))
        [answer] = [answer async for answer in ScoringServiceStub(channel).ScoreStream(iter([long]))]
        assert (answer.video_id, answer.error.code) == ("", grpc.StatusCode.INVALID_ARGUMENT.value[0])
        assert served.pipeline.calls == []


async def test_a_compressed_message_is_not_inflated() -> None:
    """It would be larger than any message may be: that gRPC does not say so shows that it was not."""
    async with front() as served, served.connection() as channel:
        bomb = pb.ScoreRequest(content=bytes(16 * MB))
        call = ScoringServiceStub(channel).Score(bomb, compression=grpc.Compression.Gzip)
        assert await refusal(call) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
        assert served.pipeline.calls == []
        await assert_serves(served)


async def test_a_message_past_the_limit_is_refused_and_leaves_its_place() -> None:
    async with front() as served, served.connection() as channel:
        call = ScoringServiceStub(channel).Score(pb.ScoreRequest(content=bytes(5 * MB)))
        assert (await refusal(call))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        async with asyncio.timeout(PATIENCE_S):
            await served.admission.drained()
        assert served.pipeline.calls == []


async def test_a_deadline_that_has_passed_begins_nothing() -> None:
    async with front() as served, served.connection() as attacker:
        await attacker.channel_ready()
        stub = ScoringServiceStub(attacker)
        calls = [stub.Score(pb.ScoreRequest(content=b"late"), timeout=0.0001) for _ in range(200)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(outcome, grpc.aio.AioRpcError) for outcome in outcomes)
        await assert_serves(served)
        assert [call.source for call in served.pipeline.calls] == [b"good"] * 2


async def test_who_keeps_giving_up_calls_is_refused_unread_and_alone() -> None:
    async with front(max_in_flight=200, connection_share=1) as served, served.connection() as attacker:
        stub = ScoringServiceStub(attacker)
        for _ in range(2):
            given_up = [stub.Score(pb.ScoreRequest(content=b"hold")) for _ in range(49)]
            await served.pipeline.until(49)
            for call in given_up:
                call.cancel()
            await served.pipeline.until(0)
        unsent = attacker.stream_stream(SCORE)()
        assert await refusal(unsent) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        await assert_serves(served)


async def test_one_connection_has_its_share_of_the_places_and_streams_alone() -> None:
    async with front(max_in_flight=4, max_streams=4, stream_concurrency=8) as served, served.connection() as attacker:
        stub = ScoringServiceStub(attacker)
        holding = pb.ScoreStreamRequest(request=pb.ScoreRequest(content=b"hold"))
        streams = [stub.ScoreStream(iter([holding] * 8)) for _ in range(3)]
        await served.pipeline.until(3)
        assert await refusal(stub.Score(pb.ScoreRequest(content=b"x"))) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "OVERLOADED",
        )
        assert (await refusal(stub.ScoreStream(iter([]))))[1] == "OVERLOADED"
        await assert_serves(served)
        assert served.admission.in_flight == 3
        served.pipeline.held.set()
        for stream in streams:
            assert len([answer async for answer in stream]) == 8


async def test_health_has_an_address_of_its_own_where_nothing_else_is_answered() -> None:
    readiness = Readiness((SERVICE_NAME,), ready)
    await readiness.update()
    server = health_server(readiness)
    address = listen(server, "127.0.0.1:0", ServerTls())
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        assert (await stub.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
        assert (await refusal(stub.Check(health_pb2.HealthCheckRequest(service="x" * 5000))))[0] is (
            grpc.StatusCode.RESOURCE_EXHAUSTED
        )
        assert (await refusal(channel.unary_unary(SCORE)(b"")))[0] is grpc.StatusCode.UNIMPLEMENTED
    await server.stop(None)


@pytest.mark.parametrize(("hard", "allowed"), [(5000, 4000), (2000, 1488), (300, 1)])
def test_connections_are_as_many_as_the_process_may_have_files_open(hard: int, allowed: int) -> None:
    """In a process of its own, whose limits cannot be raised again."""
    program = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, {hard}), {hard}))
from wildgate_server.endpoint import connections_within
assert connections_within(4000) == {allowed}
assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min({hard}, 4512)
"""
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


async def test_connections_past_the_limit_are_closed_at_once_and_those_within_stay() -> None:
    async with front(max_connections=3) as served:
        host, _, port = served.address.rpartition(":")
        silent = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
        reader, writer = await asyncio.open_connection(host, int(port))
        async with asyncio.timeout(PATIENCE_S):
            with suppress(ConnectionError):
                assert await reader.read() == b""
        for _, each in [*silent, (reader, writer)]:
            each.close()
        async with asyncio.timeout(PATIENCE_S):
            while True:  # until the server has noticed
                with suppress(grpc.aio.AioRpcError):
                    await assert_serves(served)
                    break


async def test_connections_that_are_old_are_replaced_and_no_call_on_them_is_lost() -> None:
    item = pb.ScoreStreamRequest(request=pb.ScoreRequest(video_id="good", content=b"good"))
    async with front(max_connection_age_s=0.3) as served, served.connection() as channel:
        connected: list[grpc.ChannelConnectivity] = []
        stream = ScoringServiceStub(channel).ScoreStream()
        await stream.write(item)
        async with asyncio.timeout(PATIENCE_S):
            while connected.count(grpc.ChannelConnectivity.IDLE) < 2:
                if (state := channel.get_state()) not in connected[-1:]:
                    connected.append(state)
                await assert_scores(channel)
        assert (await stream.read()).verdict.model_version == "good"
        await stream.write(item)
        assert (await stream.read()).verdict.model_version == "good", "on the connection that was replaced"


async def assert_scores(channel: grpc.aio.Channel) -> None:
    good = pb.ScoreRequest(video_id="good", content=b"good")
    assert (await ScoringServiceStub(channel).Score(good)).verdict.model_version == "good"
