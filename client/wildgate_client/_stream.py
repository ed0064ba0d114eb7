"""One ScoreStream call: a feeder sends, a reader receives, with a bounded number of videos between them."""

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
# What sending raises when the server has ended the call meanwhile.
_CALL_IS_OVER = (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError)


@dataclass(frozen=True, slots=True)
class StreamResult:
    """What became of one video: exactly one of `verdict` and `error` is set."""

    video_id: str
    verdict: Verdict | None = None
    error: ScoringError | None = None

    def __post_init__(self) -> None:
        if (self.verdict is None) == (self.error is None):
            raise ValueError("exactly one of verdict and error is to be given")

    def unwrap(self) -> Verdict:
        """The verdict; raises the item's `ScoringError` where there is none."""
        if self.error is not None:
            raise self.error
        return cast("Verdict", self.verdict)


class _Ended(Exception):
    """The reader's or the feeder's last word; `error` is None after an orderly end."""

    def __init__(self, error: BaseException | None) -> None:
        super().__init__()
        self.error = error


async def run_stream(
    call: Call,
    items: AsyncIterable[StreamItem] | Iterable[StreamItem],
    request_of: Callable[[StreamItem], Awaitable[scoring_pb2.ScoreStreamRequest]],
    *,
    in_flight: int,
) -> AsyncGenerator[StreamResult, None]:
    """Yields one result per item; at most `in_flight` items are sent and not yet taken by the consumer."""
    places = asyncio.Semaphore(in_flight)
    # Never holds more than `in_flight` results: a place is given back only when its result is taken.
    outcomes: asyncio.Queue[StreamResult | _Ended] = asyncio.Queue()
    final_status = FinalStatus(call)
    unanswered = 0
    all_sent = False

    async def feed() -> None:
        nonlocal unanswered, all_sent
        async for item in _each(items):
            await places.acquire()
            unanswered += 1
            try:
                request = await request_of(item)
            except ScoringError as error:  # nothing was sent: this item failed, the others go on
                outcomes.put_nowait(StreamResult(item.video_id, error=error))
                continue
            try:
                await call.write(request)
            except _CALL_IS_OVER:
                return  # the reader knows why
        all_sent = True
        with contextlib.suppress(*_CALL_IS_OVER):
            await call.done_writing()

    async def read() -> None:
        try:
            async for response in call:
                outcomes.put_nowait(_result_from(response))
        except grpc.aio.AioRpcError as error:
            if (failure := await final_status.failure(error)) is not None:
                raise failure from error
        outcomes.put_nowait(_Ended(None))

    async def report(work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            outcomes.put_nowait(_Ended(error))

    tasks = [
        asyncio.create_task(report(feed()), name="score_stream feeder"),
        asyncio.create_task(report(read()), name="score_stream reader"),
    ]
    try:
        while True:
            outcome = await outcomes.get()
            if isinstance(outcome, _Ended):
                if outcome.error is not None:
                    raise outcome.error
                break
            places.release()
            unanswered -= 1
            yield outcome
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


async def _each(items: AsyncIterable[StreamItem] | Iterable[StreamItem]) -> AsyncIterator[StreamItem]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
