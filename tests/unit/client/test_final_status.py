from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest
from fake_gateway import FakeGateway, Refusal

from wildgate_client import (
    ClientOptions,
    Content,
    InternalError,
    ScoringClient,
    StreamItem,
    Unauthenticated,
    Unavailable,
)
from wildgate_client._final_status import MASK, FinalStatus

DRAINING = (grpc.StatusCode.UNAVAILABLE, "draining")
OK = (grpc.StatusCode.OK, "")
CANCELLED_HERE = (grpc.StatusCode.CANCELLED, "Locally cancelled by application!")


class FakeCall:
    """A call whose status can be replaced, as grpc.aio's can."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[FakeCall], None]] = []
        self.status: tuple[grpc.StatusCode, str] = OK

    def add_done_callback(self, callback: Callable[[FakeCall], None]) -> None:
        self._callbacks.append(callback)

    def set_status(self, status: tuple[grpc.StatusCode, str]) -> None:
        self.status = status
        for callback in self._callbacks:
            callback(self)

    async def code(self) -> grpc.StatusCode:
        return self.status[0]

    async def details(self) -> str:
        return self.status[1]

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        return grpc.aio.Metadata()


def raised(status: tuple[grpc.StatusCode, str]) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(status[0], grpc.aio.Metadata(), grpc.aio.Metadata(), status[1])


@pytest.mark.parametrize("statuses", [[DRAINING, MASK], [MASK, DRAINING], [DRAINING, CANCELLED_HERE]])
async def test_the_server_s_own_status_is_found(statuses):
    call = FakeCall()
    final_status = FinalStatus(call)  # type: ignore[arg-type]
    for status in statuses:
        call.set_status(status)
    failure = await final_status.failure(raised(MASK))
    assert type(failure) is Unavailable
    assert failure.message == "draining"


async def test_an_ok_behind_the_mask_is_not_a_failure():
    call = FakeCall()
    final_status = FinalStatus(call)  # type: ignore[arg-type]
    call.set_status(OK)
    call.set_status(MASK)
    assert await final_status.failure(raised(MASK)) is None


async def test_without_another_status_the_one_raised_holds():
    final_status = FinalStatus(FakeCall())  # type: ignore[arg-type]
    failure = await final_status.failure(raised(DRAINING))
    assert type(failure) is Unavailable


async def test_the_server_s_own_internal_error_stays_one():
    call = FakeCall()
    final_status = FinalStatus(call)  # type: ignore[arg-type]
    internal = (grpc.StatusCode.INTERNAL, "internal error; the server's log has the details")
    call.set_status(internal)
    assert type(await final_status.failure(raised(internal))) is InternalError


async def test_a_server_that_ends_streams_at_once_is_always_understood(gateway: FakeGateway, target: str):
    gateway.end_stream_after = 1
    gateway.end_stream_with = Refusal("UNAUTHENTICATED", "no token")

    async def take_all(client: ScoringClient) -> None:
        async for _ in client.score_stream(StreamItem(str(n), Content(bytes(65536))) for n in range(20)):
            pass

    async with ScoringClient(target, ClientOptions(stream_in_flight=20)) as client:
        for _ in range(30):  # the race that grpc.aio loses is lost about every other time
            with pytest.raises(Unauthenticated, match="no token"):
                await take_all(client)
