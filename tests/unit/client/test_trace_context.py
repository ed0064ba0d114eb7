"""The caller's span goes with each call, and nothing of a cancellation is lost for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from fake_gateway import FakeGateway
from opentelemetry import trace

from wildgate_client import Content, ScoringClient, StreamItem

VIDEO = Content(b"video")
TRACE_ID, SPAN_ID = 0xA0B0 << 96 | 7, 0xC0 << 56 | 9
TRACEPARENT = f"00-{TRACE_ID:032x}-{SPAN_ID:016x}-01"


@pytest.fixture
def span() -> Iterator[None]:
    """The caller's span, which is sampled."""
    context = trace.SpanContext(TRACE_ID, SPAN_ID, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        yield


async def test_the_span_goes_with_a_call_and_with_a_stream(gateway: FakeGateway, target: str, span: None) -> None:
    async with ScoringClient(target) as client:
        await client.score(VIDEO)
        assert gateway.metadata["traceparent"] == TRACEPARENT
        gateway.metadata = {}
        assert [result.video_id async for result in client.score_stream([StreamItem("a", VIDEO)])] == ["a"]
        assert gateway.metadata["traceparent"] == TRACEPARENT


async def test_without_a_span_nothing_goes(gateway: FakeGateway, target: str) -> None:
    async with ScoringClient(target) as client:
        await client.score(VIDEO)
    assert "traceparent" not in gateway.metadata


async def test_a_traced_caller_that_leaves_cancels_its_call(gateway: FakeGateway, target: str, span: None) -> None:
    gateway.holding = True
    async with asyncio.timeout(10), ScoringClient(target) as client:
        call = asyncio.create_task(client.score(VIDEO))
        await gateway.arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await gateway.cancelled.wait()
    assert gateway.metadata["traceparent"] == TRACEPARENT
