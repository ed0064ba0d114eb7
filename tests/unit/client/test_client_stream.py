from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fake_gateway import OVERLOADED, FakeGateway, Refusal

from wildgate_client import (
    ClientOptions,
    Content,
    InvalidVideo,
    Overloaded,
    ScoringClient,
    Scrutiny,
    SourceUnreadable,
    StreamItem,
    StreamResult,
    Unavailable,
    UnexpectedAnswer,
)
from wildgate_proto.v1 import scoring_pb2


def items(count: int) -> list[StreamItem]:
    """Every fifth is garbage."""
    return [StreamItem(f"v{number}", Content(b"garbage" if number % 5 == 4 else b"video")) for number in range(count)]


async def all_of(client: ScoringClient, asked: object) -> dict[str, StreamResult]:
    return {result.video_id: result async for result in client.score_stream(asked)}  # type: ignore[arg-type]


async def test_a_failed_item_is_typed_and_the_others_come(target: str):
    async with ScoringClient(target) as client:
        results = await all_of(client, items(50))
    assert len(results) == 50
    failed = {name for name, result in results.items() if result.error}
    assert failed == {f"v{number}" for number in range(4, 50, 5)}
    assert all(type(results[name].error) is InvalidVideo for name in failed)
    assert sum(result.verdict is not None for result in results.values()) == 40
    with pytest.raises(InvalidVideo, match="NOT_A_VIDEO"):
        results["v4"].unwrap()


async def test_scrutiny_is_asked_for_with_every_item(gateway: FakeGateway, target: str):
    async with ScoringClient(target) as client:
        _ = [result async for result in client.score_stream(items(2), scrutiny=Scrutiny.HIGH)]
    assert [request.scrutiny for request in gateway.requests] == [scoring_pb2.SCRUTINY_HIGH] * 2


async def test_an_overloaded_item_is_left_to_the_caller_to_send_again(gateway: FakeGateway, target: str):
    gateway.answers.append(OVERLOADED)
    async with ScoringClient(target) as client:
        results = await all_of(client, items(2))
    error = results["v0"].error
    assert isinstance(error, Overloaded)
    assert (error.retryable, error.retry_after_s) == (True, 1.5)
    assert len(gateway.requests) == 2


async def test_an_unreadable_file_is_one_failed_item(gateway: FakeGateway, target: str, tmp_path: Path):
    async with ScoringClient(target) as client:
        results = await all_of(client, [StreamItem("missing", tmp_path / "missing.mp4"), *items(3)])
    assert isinstance(results["missing"].error, SourceUnreadable)
    assert len(results) == 4
    assert len(gateway.requests) == 3


async def test_no_more_is_taken_than_may_be_in_flight(target: str):
    taken: deque[str] = deque()

    def coming() -> Iterator[StreamItem]:
        for item in items(20):
            taken.append(item.video_id)
            yield item

    most_ahead = 0
    async with ScoringClient(target, ClientOptions(stream_in_flight=3)) as client:
        given = 0
        async for _ in client.score_stream(coming()):
            given += 1
            await asyncio.sleep(0.001)  # lets the sender run as far ahead as it may
            most_ahead = max(most_ahead, len(taken) - given)
    assert given == 20
    # Three on their way, and one item taken whose file is read only when a place is free.
    assert most_ahead <= 4


async def test_an_error_of_the_caller_s_own_items_is_raised(target: str):
    def coming() -> Iterator[StreamItem]:
        yield from items(1)
        raise RuntimeError("the caller's own")

    async with ScoringClient(target) as client:
        with pytest.raises(RuntimeError, match="the caller's own"):
            await all_of(client, coming())


async def test_leaving_early_cancels_the_call(gateway: FakeGateway, target: str):
    async def endless() -> AsyncIterator[StreamItem]:
        yield StreamItem("first", Content(b"video"))
        await gateway.arrived.wait()
        gateway.holding = True
        gateway.arrived.clear()
        yield StreamItem("held", Content(b"video"))
        await asyncio.Event().wait()

    async with ScoringClient(target) as client:
        async with contextlib.aclosing(client.score_stream(endless())) as results:
            async for result in results:
                assert result.video_id == "first"
                await gateway.arrived.wait()
                break
        await gateway.cancelled.wait()


async def test_cancelling_the_consumer_cancels_the_call(gateway: FakeGateway, target: str):
    gateway.holding = True
    async with ScoringClient(target) as client:
        task = asyncio.create_task(all_of(client, items(2)))
        await gateway.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gateway.cancelled.wait()
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("score_stream")] == []


async def test_a_stream_that_fails_raises_after_the_results_it_gave(gateway: FakeGateway, target: str):
    gateway.end_stream_after = 2
    gateway.end_stream_with = Refusal("UNAVAILABLE", "draining", "SHUTTING_DOWN")
    async with ScoringClient(target, ClientOptions(stream_in_flight=1)) as client:
        results = client.score_stream(items(5))
        assert [(await anext(results)).video_id for _ in range(2)] == ["v0", "v1"]
        with pytest.raises(Unavailable, match="SHUTTING_DOWN"):
            await anext(results)


@pytest.mark.parametrize("more_would_come", [False, True])
async def test_a_stream_that_ends_early_is_an_error(gateway: FakeGateway, target: str, more_would_come: bool):
    async def asked() -> AsyncIterator[StreamItem]:
        for item in items(2 if more_would_come else 5):
            yield item
        if more_would_come:
            await asyncio.Event().wait()

    gateway.end_stream_after = 2
    async with ScoringClient(target) as client:
        with pytest.raises(UnexpectedAnswer, match="STREAM_CUT_SHORT"):
            await all_of(client, asked())
