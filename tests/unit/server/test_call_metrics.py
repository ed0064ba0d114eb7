"""How calls are counted, whatever they end in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable

import grpc
import pytest
from fake_pipeline import PATIENCE_S
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1.health_pb2_grpc import HealthServicer, HealthStub, add_HealthServicer_to_server

from wildgate_server.call_metrics import CallMetrics
from wildgate_server.server_metrics import ServerMetrics


class Scripted(HealthServicer):
    """Does as the name of the service says."""

    async def Check(self, request: pb.HealthCheckRequest, context: grpc.aio.ServicerContext) -> pb.HealthCheckResponse:
        match request.service:
            case "abort":
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
            case "bug":
                raise ValueError("bug")
            case "hang":
                await asyncio.sleep(PATIENCE_S)
        return pb.HealthCheckResponse()

    async def Watch(
        self, request: pb.HealthCheckRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.HealthCheckResponse]:
        for _ in range(3):
            yield pb.HealthCheckResponse()


async def test_calls_are_counted_by_how_they_ended() -> None:
    metrics = ServerMetrics()
    server = grpc.aio.server(interceptors=[CallMetrics(metrics)])
    add_HealthServicer_to_server(Scripted(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with asyncio.timeout(PATIENCE_S), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = HealthStub(channel)

        async def ended(call: Awaitable[object]) -> None:
            with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
                await call

        await stub.Check(pb.HealthCheckRequest())
        for name in ("abort", "bug"):
            await ended(stub.Check(pb.HealthCheckRequest(service=name)))
        await ended(stub.Check(pb.HealthCheckRequest(service="hang"), timeout=0.2))
        left = stub.Check(pb.HealthCheckRequest(service="hang"))
        while metrics.registry.get_sample_value("grpc_server_started_total", called("Check")) != 5:
            await asyncio.sleep(0.01)
        left.cancel()
        await ended(left)
        assert len([each async for each in stub.Watch(pb.HealthCheckRequest())]) == 3
        await ended(channel.unary_unary("/made.up/Method")(b""))
        codes = ("OK", "RESOURCE_EXHAUSTED", "UNKNOWN", "DEADLINE_EXCEEDED", "CANCELLED")
        while [handled(metrics, "Check", code) for code in codes] != [1] * 5:
            await asyncio.sleep(0.01)
        assert handled(metrics, "Watch", "OK") == 1
        assert metrics.registry.get_sample_value("grpc_server_handling_seconds_count", called("Check")) == 5
        assert "made" not in str(list(metrics.registry.collect()))
    await server.stop(None)


def called(method: str) -> dict[str, str]:
    kind = {"Check": "unary", "Watch": "server_stream"}[method]
    return {"grpc_type": kind, "grpc_service": "grpc.health.v1.Health", "grpc_method": method}


def handled(metrics: ServerMetrics, method: str, code: str) -> float | None:
    return metrics.registry.get_sample_value("grpc_server_handled_total", {**called(method), "grpc_code": code})
