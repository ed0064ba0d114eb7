"""The status that the server ended a stream with, also where grpc.aio loses it.

A write that fails because the server has just ended the call makes grpc.aio put INTERNAL "Internal error from Core"
in the place of the server's own status, before or after that has come (grpc/grpc issue 36066). An answer such as
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
# The server's status is on its way when a write fails for it; only where grpc failed by itself none comes.
GRACE_S = 1.0

Status = tuple[grpc.StatusCode, str | None, grpc.aio.Metadata | None]


class FinalStatus:
    """Remembers every status that `call` is given, and tells the server's own from grpc.aio's."""

    def __init__(self, call: grpc.aio.StreamStreamCall[Any, Any]) -> None:
        self._servers: Status | None = None
        self._known = asyncio.Event()
        # Called again whenever a status takes the place of another.
        call.add_done_callback(self._remember)

    async def failure(self, raised: grpc.aio.AioRpcError) -> ScoringError | None:
        """What the call failed with, given what it raised; `None` where the server ended it with OK."""
        if (raised.code(), raised.details()) == MASK:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._known.wait(), GRACE_S)
        status = self._servers or (raised.code(), raised.details(), raised.trailing_metadata())
        return None if status[0] is grpc.StatusCode.OK else error_from_trailers(*status)

    def _remember(self, call: grpc.aio.StreamStreamCall[Any, Any]) -> None:
        status = (_at_once(call.code()), _at_once(call.details()), _at_once(call.trailing_metadata()))
        if status[:2] != MASK and self._servers is None:
            self._servers = status
            self._known.set()


def _at_once(answer: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that has nothing to wait for, as those of a call's status once it is there."""
    try:
        answer.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    answer.close()
    raise RuntimeError("the call has no status yet")
