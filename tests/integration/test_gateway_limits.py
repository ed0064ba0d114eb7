"""Overload, deadlines, callers that leave, and a Triton that is away."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from clips import ClipSpec, make_clip
from gateway_under_test import GatewayUnderTest, MakeSettings, paused, running, until_in_flight
from grpc_health.v1 import health_pb2, health_pb2_grpc

from wildgate_client import Content, DeadlineExceeded, Overloaded, StreamItem, Unavailable

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="session")]

GOOD = Content(make_clip())


async def test_a_full_gateway_refuses_at_once_and_finishes_what_it_has(narrow_gateway: GatewayUnderTest) -> None:
    client = narrow_gateway.client
    with paused(narrow_gateway.workers[0]):
        held = asyncio.create_task(client.score(GOOD))
        await until_in_flight(narrow_gateway.metrics, 1)
        for _ in range(3):
            with pytest.raises(Overloaded) as refused:
                await client.score(GOOD)
            assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert refused.value.reason == "OVERLOADED"
            assert refused.value.retry_after_s == 1.25
        assert not held.done()
    assert (await held).coverage.frames_looked_at > 0
    await client.score(GOOD)


async def test_a_stream_waits_for_places_instead(narrow_gateway: GatewayUnderTest) -> None:
    items = [StreamItem(str(number), GOOD) for number in range(6)]
    results = [result async for result in narrow_gateway.client.score_stream(items)]
    assert sorted(result.video_id for result in results) == [item.video_id for item in items]
    for result in results:
        result.unwrap()


async def test_a_passed_deadline_is_told_and_forgotten(narrow_gateway: GatewayUnderTest) -> None:
    client = narrow_gateway.client
    with paused(narrow_gateway.workers[0]):
        with pytest.raises(DeadlineExceeded) as late:
            await client.score(GOOD, deadline_s=0.4)
        assert late.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
        await until_in_flight(narrow_gateway.metrics, 0)
    assert (await client.score(GOOD)).coverage.frames_looked_at > 0


async def test_the_servers_own_cap_passes_too(make_settings: MakeSettings) -> None:
    async with running(make_settings(admission={"max_deadline_s": 0.5})) as gateway:
        with paused(gateway.workers[0]), pytest.raises(DeadlineExceeded) as late:
            await gateway.client.score(GOOD)
        assert late.value.reason == "DEADLINE_EXCEEDED"
        items = [StreamItem("late", GOOD)]
        with paused(gateway.workers[0]):
            [result] = [result async for result in gateway.client.score_stream(items)]
        assert isinstance(result.error, DeadlineExceeded)


@pytest.mark.parametrize("videos", [1, 5])
async def test_a_caller_that_leaves_takes_its_work_along(gateway: GatewayUnderTest, videos: int) -> None:
    before = await gateway.client.score(GOOD)
    contents = [Content(make_clip(ClipSpec(first_frame=number))) for number in range(videos)]
    with paused(gateway.workers[0]), paused(gateway.workers[1]):
        leaving = [asyncio.create_task(gateway.client.score(content)) for content in contents]
        await until_in_flight(gateway.metrics, videos)
        for task in leaving:
            task.cancel()
        outcomes = await asyncio.gather(*leaving, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        await until_in_flight(gateway.metrics, 0)
    after = await gateway.client.score(GOOD)
    assert after.detections == before.detections


async def test_a_caller_that_leaves_a_batch_does_not_take_it_along(make_settings: MakeSettings) -> None:
    # Both videos wait for one batch when the first caller leaves.
    slow = make_settings(batch={"max_wait_ms": 1_500})
    async with running(slow) as gateway:
        leaving = asyncio.create_task(gateway.client.score(GOOD))
        staying = asyncio.create_task(gateway.client.score(GOOD))
        await until_in_flight(gateway.metrics, 2)
        leaving.cancel()
        await until_in_flight(gateway.metrics, 1)
        assert not staying.done()
        joining = asyncio.create_task(gateway.client.score(GOOD))
        answers = await asyncio.gather(staying, joining)
        assert answers[0].detections == answers[1].detections != ()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def lonely_gateway(make_settings: MakeSettings) -> AsyncIterator[GatewayUnderTest]:
    """A gateway whose Triton is an address that refuses every connection."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # ours, and nobody listens
        target = f"127.0.0.1:{held.getsockname()[1]}"
        async with running(make_settings(backend={"target": target})) as started:
            yield started


async def test_without_triton_every_video_is_told_so(lonely_gateway: GatewayUnderTest) -> None:
    with pytest.raises(Unavailable) as refused:
        await lonely_gateway.client.score(GOOD)
    assert refused.value.code is grpc.StatusCode.UNAVAILABLE
    assert refused.value.reason == "BACKEND_UNAVAILABLE"
    assert refused.value.retry_after_s == 1.0
    items = [StreamItem(str(number), GOOD) for number in range(3)]
    results = [result async for result in lonely_gateway.client.score_stream(items)]
    assert [result.error.reason for result in results if result.error] == ["BACKEND_UNAVAILABLE"] * 3


async def test_without_triton_health_is_not_serving(lonely_gateway: GatewayUnderTest) -> None:
    async with grpc.aio.insecure_channel(lonely_gateway.address) as channel:
        for service in ("", "wildgate.v1.ScoringService"):
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
