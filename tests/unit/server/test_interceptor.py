"""Exceptions become status in one place, seen through a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from structlog.testing import capture_logs

from wildgate_server.errors import InternalError, NotAVideo, Overloaded, RowRefused
from wildgate_server.interceptor import ErrorInterceptor, expected

SECRET = "the database password is hunter2"


class Failing(grpc.GenericRpcHandler):
    """Two services with unary and streaming methods; each fails as `failure` does."""

    def __init__(self, failure: Any) -> None:
        self._failure = failure

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return {
            "Unary": grpc.unary_unary_rpc_method_handler(self._unary),
            "Stream": grpc.stream_stream_rpc_method_handler(self._stream),
        }.get(details.method.rpartition("/")[2])

    async def _unary(self, request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        await self._fail(context)
        return request

    async def _stream(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
        async for request in requests:
            await context.write(request)
        await self._fail(context)

    async def _fail(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        if isinstance(self._failure, Exception):
            raise self._failure
        if self._failure:
            await self._failure(context)


@asynccontextmanager
async def serving(failure: Any) -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server(interceptors=[ErrorInterceptor("guarded.Service")])
    server.add_generic_rpc_handlers((Failing(failure),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


async def answers(failure: Any, method: str = "/guarded.Service/Unary") -> list[bytes]:
    async with serving(failure) as channel:
        if not method.endswith("Stream"):
            return [await channel.unary_unary(method)(b"x")]
        return [answer async for answer in channel.stream_stream(method)(iter([b"x", b"y"]))]


async def failure_of(failure: Any, *method: str) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await answers(failure, *method)
    return refusal.value


METHODS = pytest.mark.parametrize("method", ["/guarded.Service/Unary", "/guarded.Service/Stream"])


@METHODS
async def test_an_expected_error_is_told_with_its_details(method: str) -> None:
    error = await failure_of(Overloaded("full", retry_after_s=2.0), method)
    assert (error.code(), error.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
    status = rpc_status.from_call(error)
    assert status is not None
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (info.reason, retry.retry_delay.seconds) == ("OVERLOADED", 2)


@METHODS
@pytest.mark.parametrize(
    "surprise", [ZeroDivisionError(SECRET), RowRefused(SECRET), UnicodeDecodeError("x", b"", 0, 1, SECRET)]
)
async def test_a_surprise_is_internal_and_only_the_log_has_it(method: str, surprise: Exception) -> None:
    with capture_logs() as log:
        error = await failure_of(surprise, method)
    assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, InternalError().message)
    assert SECRET not in repr(error)
    (line,) = log
    assert (line["event"], line["log_level"]) == ("surprise", "error")
    assert line["exc_info"] is surprise


async def test_what_is_expected_is_not_logged() -> None:
    error = NotAVideo("no")
    with capture_logs() as log:
        assert expected(error) is error
    assert log == []


@METHODS
async def test_an_abort_of_the_handler_s_own_passes(method: str) -> None:
    async def abort(context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(grpc.StatusCode.ABORTED, "as I said")

    with capture_logs() as log:
        error = await failure_of(abort, method)
    assert (error.code(), error.details()) == (grpc.StatusCode.ABORTED, "as I said")
    assert log == []


async def test_other_services_pass_unchanged() -> None:
    error = await failure_of(Overloaded("full"), "/other.Service/Unary")
    assert error.code() is grpc.StatusCode.UNKNOWN, "gRPC's own way"


async def test_an_unknown_method_stays_unknown() -> None:
    assert (await failure_of(None, "/guarded.Service/Other")).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_success_passes() -> None:
    assert await answers(None) == [b"x"]
    assert await answers(None, "/guarded.Service/Stream") == [b"x", b"y"]


async def test_cancellation_is_no_error() -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(context: grpc.aio.ServicerContext[Any, Any]) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with capture_logs() as log:
        async with serving(wait) as channel:
            call = channel.unary_unary("/guarded.Service/Unary")(b"x")
            await asyncio.wait_for(entered.wait(), 30)
            call.cancel()
            await asyncio.wait_for(cancelled.wait(), 30)
    assert log == []
