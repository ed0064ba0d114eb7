"""What Prometheus is told of each call, under the names that gRPC's servers in other languages use."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from time import perf_counter
from typing import Any

import grpc
from google.protobuf import descriptor_pool

from wildgate_server.server_metrics import ServerMetrics

__all__ = ["CallMetrics"]

_KINDS = {
    (False, False): "unary",
    (True, False): "client_stream",
    (False, True): "server_stream",
    (True, True): "bidi_stream",
}
_CODES: dict[object, str] = {code.value[0]: code.name for code in grpc.StatusCode}
_Named = tuple[str, str, str]


class CallMetrics(grpc.aio.ServerInterceptor):
    """Counts and times calls. It is to be the first interceptor: what the others refuse is counted, too."""

    def __init__(self, metrics: ServerMetrics) -> None:
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wraps the method's handler; one that does not exist is not counted, callers could make up any number."""
        began = perf_counter()
        handler = await continuation(handler_call_details)
        named = _named(handler_call_details.method)
        if handler is None or named is None:
            return handler
        asked, answered = (
            "stream" if it else "unary" for it in (handler.request_streaming, handler.response_streaming)
        )
        handle: Any = getattr(handler, f"{asked}_{answered}")

        async def answer(request: Any, context: Any) -> Any:
            with self._counted(named, began, context):
                return await handle(request, context)

        async def answers(request: Any, context: Any) -> Any:
            with self._counted(named, began, context):
                async for each in handle(request, context):
                    yield each

        make: Any = getattr(grpc, f"{asked}_{answered}_rpc_method_handler")
        made: grpc.RpcMethodHandler[Any, Any] = make(
            answers if inspect.isasyncgenfunction(handle) else answer,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        return made

    @contextmanager
    def _counted(self, named: _Named, began: float, context: Any) -> Iterator[None]:
        self._metrics.call_began(*named)
        code = grpc.StatusCode.UNKNOWN.name  # of an error that nobody translates
        try:
            yield
            code = _code_of(context)
        except grpc.aio.AbortError:
            code = _code_of(context)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            remaining_s = context.time_remaining()
            late = remaining_s is not None and remaining_s <= 0
            code = (grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED).name
            raise
        finally:
            self._metrics.call_ended(*named, code, perf_counter() - began)


@lru_cache(256)
def _named(path: str) -> _Named | None:
    """Kind, service and method of a full name; the kind as the API has it, whatever the handler is made of."""
    service, _, method = path.removeprefix("/").partition("/")
    try:
        described: Any = descriptor_pool.Default().FindMethodByName(f"{service}.{method}")
    except KeyError:
        return None
    return _KINDS[described.client_streaming, described.server_streaming], service, method


def _code_of(context: Any) -> str:
    code = context.code()  # by its number, as None or as a StatusCode
    return code.name if isinstance(code, grpc.StatusCode) else _CODES.get(code or 0, grpc.StatusCode.UNKNOWN.name)
