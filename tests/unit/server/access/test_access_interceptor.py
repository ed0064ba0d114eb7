"""The table of calls, walked through a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from structlog.testing import capture_logs

from wildgate_proto.v1 import blocks_pb2, scoring_pb2
from wildgate_server.access.access_interceptor import (
    GATEWAY_CALLS,
    OPEN,
    AccessInterceptor,
    Need,
    present_caller,
)
from wildgate_server.access.tokens import Caller
from wildgate_server.errors import Unauthenticated

TABLE = {
    "/t.S/Score": Need.scope("score"),
    "/t.S/Decide": Need.role("moderator", "senior"),
    "/t.S/Nobody": Need(),
    "/t.S/Health": OPEN,
}
CALLERS = {
    "scorer": Caller("scorer", scopes=frozenset({"score"})),
    "senior": Caller("senior", roles=frozenset({"senior"})),
    # who can choose scopes does not get a role by that, nor the other way round
    "crossed": Caller("crossed", roles=frozenset({"score"}), scopes=frozenset({"senior", "moderator"})),
}
OK, NO, WHO = grpc.StatusCode.OK, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED


class Known:
    def revokes(self, fingerprint: str) -> bool:
        return False

    async def caller(self, token: str) -> Caller:
        try:
            return CALLERS[token]
        except KeyError:
            raise Unauthenticated("not known") from None


class Echo(grpc.GenericRpcHandler):
    """Answers with the caller's name; counts the messages that were read."""

    read = 0

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._answer)

    async def _answer(self, message: bytes, context: Any) -> bytes:
        self.read += 1
        caller = present_caller()
        return caller.subject.encode() if caller else b""


@asynccontextmanager
async def serving(echo: Echo) -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server(interceptors=[AccessInterceptor(Known(), TABLE)])
    server.add_generic_rpc_handlers((echo,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


async def asked(channel: grpc.aio.Channel, method: str, *headers: str) -> tuple[grpc.StatusCode, bytes]:
    metadata = tuple(("authorization", header) for header in headers)
    try:
        return OK, await channel.unary_unary(method)(b"x" * 100_000, metadata=metadata, timeout=10)
    except grpc.aio.AioRpcError as error:
        return error.code(), b""


WALK = [
    # call, scorer, senior, crossed, an unknown token, none
    ("/t.S/Score", OK, NO, NO, WHO, WHO),
    ("/t.S/Decide", NO, OK, NO, WHO, WHO),
    ("/t.S/Nobody", NO, NO, NO, WHO, WHO),
    ("/t.S/NotInTheTable", NO, NO, NO, WHO, WHO),
    ("/t.S/Health", OK, OK, OK, OK, OK),
]


@pytest.mark.parametrize(("method", "scorer", "senior", "crossed", "stranger", "none"), WALK)
async def test_each_caller_gets_what_the_table_says(
    method: str,
    scorer: grpc.StatusCode,
    senior: grpc.StatusCode,
    crossed: grpc.StatusCode,
    stranger: grpc.StatusCode,
    none: grpc.StatusCode,
) -> None:
    expected = {"scorer": scorer, "senior": senior, "crossed": crossed, "stranger": stranger, "none": none}
    echo = Echo()
    async with serving(echo) as channel:
        got = {
            name: (await asked(channel, method, *([] if name == "none" else [f"Bearer {name}"])))[0]
            for name in expected
        }
    assert got == expected
    assert echo.read == list(expected.values()).count(OK)  # a refused message is never read


async def test_a_handler_knows_its_caller_and_not_that_of_the_call_before() -> None:
    async with serving(Echo()) as channel:
        assert await asked(channel, "/t.S/Score", "Bearer scorer") == (OK, b"scorer")
        assert await asked(channel, "/t.S/Health") == (OK, b"")


@pytest.mark.parametrize("headers", [["scorer"], ["Basic scorer"], ["Bearer "], ["Bearer senior", "Bearer scorer"]])
async def test_a_header_that_is_not_one_bearer_token_is_refused(headers: list[str]) -> None:
    async with serving(Echo()) as channel:
        assert (await asked(channel, "/t.S/Score", *headers))[0] is WHO


async def test_each_refusal_leaves_one_line_without_the_token() -> None:
    async with serving(Echo()) as channel:
        with capture_logs() as logs:
            await asked(channel, "/t.S/Score", "Bearer senior")
            await asked(channel, "/t.S/Score", "Bearer hunter2")
    assert [(line["event"], line["status"], line["subject"]) for line in logs] == [
        ("access_refused", "PERMISSION_DENIED", "senior"),
        ("access_refused", "UNAUTHENTICATED", ""),
    ]
    assert "hunter2" not in str(logs)


def test_every_call_of_the_gateway_is_in_the_table() -> None:
    services = [
        scoring_pb2.DESCRIPTOR.services_by_name["ScoringService"],
        blocks_pb2.DESCRIPTOR.services_by_name["BlockService"],
    ]
    calls = {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}
    assert calls <= set(GATEWAY_CALLS)
    assert not [call for call in calls if GATEWAY_CALLS[call] is OPEN]
    health = health_pb2.DESCRIPTOR.services_by_name["Health"].methods_by_name
    assert {call.rpartition("/")[2] for call in GATEWAY_CALLS if GATEWAY_CALLS[call] is OPEN} <= set(health)
