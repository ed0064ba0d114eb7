"""One ScoreStream call: a sender and a receiver, with a bounded number of unanswered videos between them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import grpc

from wildgate_client._final_status import FinalStatus
from wildgate_client._source import StreamItem
from wildgate_client._status import error_from_status
from wildgate_client._verdict import Verdict
from wildgate_client._wire import verdict_from
from wildgate_client.errors import ScoringError, UnexpectedAnswer
from wildgate_proto.v1 import scoring_pb2

__all__ = ["StreamResult", "run_stream"]

Call: TypeAlias = "grpc.aio.StreamStreamCall[Any, Any]"
# What sending raises once the server has ended the call.
_CALL_IS_OVER = (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError)


@dataclass(frozen=True, slots=True)
class StreamResult:
    """The outcome of one video: exactly one of `verdict` and `error` is set."""

    video_id: str
    verdict: Verdict | None = None
    error: ScoringError | None = None

    def __post_init__(self) -> None:
        if (self.verdict is None) == (self.error is None):
            raise ValueError("give exactly one of verdict and error")

    def unwrap(self) -> Verdict:
        """The verdict; raises the item's `ScoringError` if there is none."""
        if self.error is not None:
            raise self.error
        return cast("Verdict", self.verdict)


@dataclass(frozen=True, slots=True)
class _Ended:
    """The receiver has no more results, or one of the two failed."""

    error: Exception | None


async def run_stream(
    call: Call,
    items: AsyncIterable[StreamItem] | Iterable[StreamItem],
    request_for: Callable[[StreamItem], Awaitable[scoring_pb2.ScoreStreamRequest]],
    *,
    in_flight: int,
) -> AsyncGenerator[StreamResult, None]:
    """Yields one result per item; at most `in_flight` items are sent and not yet taken by the consumer."""
    places = asyncio.Semaphore(in_flight)
    # Never holds more than `in_flight` results: a place is released only when its result is taken.
    outcomes: asyncio.Queue[StreamResult | _Ended] = asyncio.Queue()
    final_status = FinalStatus(call)
    unanswered = 0
    all_sent = False

    async def send() -> None:
        nonlocal unanswered, all_sent
        async for item in _as_async(items):
            await places.acquire()
            unanswered += 1
            try:
                request = await request_for(item)
            except ScoringError as error:  # only this item failed: nothing was sent, the others go on
                outcomes.put_nowait(StreamResult(item.video_id, error=error))
                continue
            try:
                await call.write(request)
            except _CALL_IS_OVER:
                return  # the receiver knows why
        all_sent = True
        with contextlib.suppress(*_CALL_IS_OVER):
            await call.done_writing()

    async def receive() -> None:
        try:
            async for response in call:
                outcomes.put_nowait(_result_from(response))
        except grpc.aio.AioRpcError as error:
            if (failure := await final_status.failure(error)) is not None:
                raise failure from error
        outcomes.put_nowait(_Ended(None))

    async def reporting_failure(work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            outcomes.put_nowait(_Ended(error))

    tasks = [
        asyncio.create_task(reporting_failure(send()), name="score_stream sender"),
        asyncio.create_task(reporting_failure(receive()), name="score_stream receiver"),
    ]
    try:
        while isinstance(outcome := await outcomes.get(), StreamResult):
            places.release()
            unanswered -= 1
            yield outcome
        if outcome.error is not None:
            raise outcome.error
    finally:
        call.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if unanswered or not all_sent:
        raise UnexpectedAnswer(
            f"the server ended the stream early, with {unanswered} items unanswered",
            code=grpc.StatusCode.OK,
            reason="STREAM_CUT_SHORT",
        )


def _result_from(response: scoring_pb2.ScoreStreamResponse) -> StreamResult:
    match response.WhichOneof("result"):
        case "verdict":
            return StreamResult(response.video_id, verdict=verdict_from(response.verdict))
        case "error":
            return StreamResult(response.video_id, error=error_from_status(response.error))
        case _:
            error = UnexpectedAnswer(
                "the result holds neither a verdict nor an error",
                code=grpc.StatusCode.OK,
                reason="NO_VERDICT",
            )
            return StreamResult(response.video_id, error=error)


async def _as_async(items: AsyncIterable[StreamItem] | Iterable[StreamItem]) -> AsyncIterator[StreamItem]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
