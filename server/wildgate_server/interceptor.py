"""What stands around every call: how its messages come in and go out, and where exceptions become gRPC status."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import Any, TypeAlias

import grpc
import structlog
from grpc_status import rpc_status

from wildgate_server.arrivals import Arrivals
from wildgate_server.errors import DeadlineExceeded, InternalError, InvalidRequest, Overloaded, WildgateError
from wildgate_server.pace import Pace
from wildgate_server.wire import status_of

__all__ = ["CallInterceptor", "Context", "ErrorInterceptor", "expected", "written"]

_log = structlog.get_logger()

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Continuation: TypeAlias = Callable[[grpc.HandlerCallDetails], Awaitable["_Handler | None"]]

_ASIDE_S = 1.0  # how long a message may take that is small and goes before all others
_SOON_S = 1.0
_LEAST_TIME_S = 0.001  # nothing is answered in less


def expected(error: Exception) -> WildgateError:
    """The error that the caller is told of; a surprise goes to the log with its traceback and becomes INTERNAL."""
    if isinstance(error, WildgateError):
        return error
    _log.error("surprise", exc_info=error)
    return InternalError()


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns what a handler of one of `services` raises into status and details; others pass unchanged.

    Handlers of streams write their answers themselves. `refused` is told how many seconds each call took to be refused
    for want of room, from its first interceptor until its status was sent.
    """

    def __init__(self, *services: str, refused: Callable[[float], None] = lambda seconds: None) -> None:
        self._prefixes = tuple(f"/{service}/" for service in services)
        self._refused = refused

    async def intercept_service(
        self, continuation: _Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> _Handler | None:
        """Wraps the method's handler."""
        came_s = monotonic()
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(self._prefixes):
            return handler
        coding = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(self._guarded(handler.stream_stream, came_s), **coding)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._guarded(handler.unary_stream, came_s), **coding)
        return grpc.unary_unary_rpc_method_handler(self._guarded(handler.unary_unary, came_s), **coding)

    def _guarded(self, handle: Any, came_s: float) -> Any:
        async def guarded(request: Any, context: Context) -> Any:
            try:
                answers = handle(request, context)
                if not inspect.isasyncgen(answers):
                    return await answers
                async for answer in answers:  # as reflection does
                    await context.write(answer)
                return None
            except grpc.aio.AbortError:
                raise  # an abort of the handler's own is a status already
            except Exception as error:
                status = rpc_status.to_status(status_of(expected(error)))
                try:
                    return await context.abort(status.code, status.details, status.trailing_metadata)
                finally:
                    if isinstance(error, Overloaded):
                        self._refused(monotonic() - came_s)

        return guarded


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Makes a stream of every call, since only of a stream gRPC leaves messages unread until they are asked for.

    On the wire a unary call looks the same. Its message has to arrive, and its answer to be taken, in time. What the
    handler of a stream is given waits for each message, as long as it may take, and raises as `Arrivals.read` does.
    Connections that keep giving up calls are refused unread. `aside` are the services that have `room_aside` of their
    own, whose messages are small and have to arrive at once, and whose calls may be given up.
    """

    def __init__(
        self,
        room: Arrivals,
        *,
        arrival_timeout_s: float,
        answer_timeout_s: float,
        aside: tuple[str, ...],
        room_aside: Arrivals,
    ) -> None:
        self._room = room
        self._room_aside = room_aside
        self._arrival_timeout_s = arrival_timeout_s
        self._answer_timeout_s = answer_timeout_s
        self._aside = tuple(f"/{service}/" for service in aside)
        self._given_up = Pace("calls were given up before they were answered", at_once=50, per_s=5.0)

    async def intercept_service(
        self, continuation: _Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> _Handler | None:
        """Wraps the method's handler."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        is_aside = handler_call_details.method.startswith(self._aside)
        room = self._room_aside if is_aside else self._room
        timeout_s = min(self._arrival_timeout_s, _ASIDE_S) if is_aside else self._arrival_timeout_s
        answer = (
            self._of_stream(handler, room) if handler.request_streaming else self._of_message(handler, room, timeout_s)
        )

        async def handle(requests: AsyncIterator[Any], context: Context) -> None:
            connection, started = context.peer(), monotonic()
            if not connection:
                return  # it was over before it began
            try:
                if not is_aside:
                    self._given_up.check(connection)
                remaining_s = context.time_remaining()
                if remaining_s is not None and remaining_s < _LEAST_TIME_S:
                    self._given_up.count(connection)
                    raise DeadlineExceeded("the deadline passed before the message was received")
                await answer(requests, context)
            except asyncio.CancelledError:
                if monotonic() - started < _SOON_S:  # who has waited for longer had a reason
                    self._given_up.count(connection)
                raise

        return grpc.stream_stream_rpc_method_handler(
            handle, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )

    def _of_stream(self, handler: _Handler, room: Arrivals) -> Any:
        method: Any = handler.stream_stream if handler.response_streaming else handler.stream_unary

        async def answer(requests: AsyncIterator[Any], context: Context) -> None:
            await self._write(method(_incoming(requests, room, context.peer()), context), context)

        return answer

    def _of_message(self, handler: _Handler, room: Arrivals, timeout_s: float) -> Any:
        method: Any = handler.unary_stream if handler.response_streaming else handler.unary_unary

        async def answer(requests: AsyncIterator[Any], context: Context) -> None:
            try:
                request = await room.read(requests.__anext__, context.peer(), timeout_s)
            except StopAsyncIteration:
                raise InvalidRequest("no message came") from None
            await self._write(method(request, context), context)

        return answer

    async def _write(self, answers: Any, context: Context) -> None:
        """Writes what a method returns or yields, if it does not write by itself."""
        if inspect.isasyncgen(answers):
            async for answer in answers:
                await written(context, answer, self._answer_timeout_s)
        elif (answer := await answers) is not None:
            await written(context, answer, self._answer_timeout_s)


async def _incoming(requests: AsyncIterator[Any], room: Arrivals, connection: str) -> AsyncIterator[Any]:
    while True:
        try:
            request = await room.read(requests.__anext__, connection)
        except StopAsyncIteration:
            return
        yield request


async def written(context: Context, answer: Any, timeout_s: float) -> None:
    """Writes an answer. Raises DeadlineExceeded when it is not taken in time, CancelledError when its caller left."""
    try:
        async with asyncio.timeout(timeout_s):
            await context.write(answer)
    except grpc.aio.InternalError:  # what gRPC calls it that there is nobody any more
        raise asyncio.CancelledError from None
    except TimeoutError:
        raise DeadlineExceeded(f"the answer was not taken within {timeout_s:g} s") from None
