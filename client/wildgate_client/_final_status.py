"""The status with which the server ended a stream, even where grpc.aio loses it.

When a write fails because the server has just ended the call, grpc.aio replaces the server's own status with
INTERNAL "Internal error from Core", before or after that has come (grpc/grpc issue 36066). An answer such as
UNAUTHENTICATED or SHUTTING_DOWN would reach the caller as a bug of the server.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

import grpc

from wildgate_client._status import error_from_trailers
from wildgate_client.errors import ScoringError

__all__ = ["FinalStatus"]

T = TypeVar("T")

MASK = (grpc.StatusCode.INTERNAL, "Internal error from Core")
# When a write fails because of it, the server's status is on its way; none comes only if grpc itself failed.
GRACE_S = 1.0

Status = tuple[grpc.StatusCode, str | None, grpc.aio.Metadata | None]


class FinalStatus:
    """Remembers each status that `call` is given, and tells the server's own from grpc.aio's."""

    def __init__(self, call: grpc.aio.StreamStreamCall[Any, Any]) -> None:
        self._from_server: Status | None = None
        self._arrived = asyncio.Event()
        # Called again whenever one status replaces another.
        call.add_done_callback(self._remember)

    async def failure(self, raised: grpc.aio.AioRpcError) -> ScoringError | None:
        """The error the call really ended with, given what it raised; `None` if the server ended it with OK."""
        if (raised.code(), raised.details()) == MASK:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), GRACE_S)
        status = self._from_server or (raised.code(), raised.details(), raised.trailing_metadata())
        return None if status[0] is grpc.StatusCode.OK else error_from_trailers(*status)

    def _remember(self, call: grpc.aio.StreamStreamCall[Any, Any]) -> None:
        status = (_ready_result(call.code()), _ready_result(call.details()), _ready_result(call.trailing_metadata()))
        if status[:2] != MASK and self._from_server is None:
            self._from_server = status
            self._arrived.set()


def _ready_result(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits, as those of a finished call's status do not."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("the call has no status yet")
