"""The one place where exceptions become gRPC status."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import structlog
from grpc_status import rpc_status

from wildgate_server.errors import InternalError, WildgateError
from wildgate_server.wire import status_of

__all__ = ["ErrorInterceptor", "expected"]

_log = structlog.get_logger()


def expected(error: Exception) -> WildgateError:
    """The error that the caller is told of; a surprise goes to the log with its traceback and becomes INTERNAL."""
    if isinstance(error, WildgateError):
        return error
    _log.error("surprise", exc_info=error)
    return InternalError()


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns what a handler of one of `services` raises into status and details; others pass unchanged.

    Handlers of streams write their answers themselves.
    """

    def __init__(self, *services: str) -> None:
        self._prefixes = tuple(f"/{service}/" for service in services)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wraps the method's handler."""
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(self._prefixes):
            return handler
        coding = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(_guarded(handler.stream_stream), **coding)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(_guarded(handler.unary_stream), **coding)
        return grpc.unary_unary_rpc_method_handler(_guarded(handler.unary_unary), **coding)


def _guarded(handle: Any) -> Any:
    async def guarded(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await handle(request, context)
        except grpc.aio.AbortError:
            raise  # an abort of the handler's own is a status already
        except Exception as error:
            status = rpc_status.to_status(status_of(expected(error)))
            return await context.abort(status.code, status.details, status.trailing_metadata)

    return guarded
