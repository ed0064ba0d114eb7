"""Health says SERVING only while work could be done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from wildgate_server.readiness import Readiness

Status = health_pb2.HealthCheckResponse
SERVICES = ("", "some.Service")


class Backend:
    """Ready or not, as it is told; an exception is raised."""

    def __init__(self) -> None:
        self.answer: bool | Exception = True

    async def ready(self) -> bool:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class Checked:
    backend: Backend
    readiness: Readiness
    stub: health_pb2_grpc.HealthStub

    async def told(self) -> set[int]:
        """What the health service says of the server and of each service."""
        requests = [health_pb2.HealthCheckRequest(service=service) for service in SERVICES]
        return {(await self.stub.Check(request)).status for request in requests}

    async def until(self, status: int) -> None:
        async with asyncio.timeout(30):
            while await self.told() != {status}:
                await asyncio.sleep(0.005)


@pytest.fixture
async def checked() -> AsyncIterator[Checked]:
    """Told once that the backend is ready."""
    backend = Backend()
    readiness = Readiness(SERVICES[1:], backend.ready, period_s=0.01)
    await readiness.update()
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(readiness.servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Checked(backend, readiness, health_pb2_grpc.HealthStub(channel))
    await server.stop(None)


async def test_health_follows_the_backend(checked: Checked) -> None:
    for answer in (True, False, False, True):
        checked.backend.answer = answer
        await checked.readiness.update()
        assert await checked.told() == {Status.SERVING if answer else Status.NOT_SERVING}


async def test_an_unknown_service_is_not_found(checked: Checked) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await checked.stub.Check(health_pb2.HealthCheckRequest(service="other"))
    assert refusal.value.code() is grpc.StatusCode.NOT_FOUND


async def test_watchers_are_told_of_changes(checked: Checked) -> None:
    async with asyncio.timeout(30):
        watch = checked.stub.Watch(health_pb2.HealthCheckRequest(service=SERVICES[1]))
        assert (await watch.read()).status == Status.SERVING
        checked.backend.answer = False
        await checked.readiness.update()
        assert (await watch.read()).status == Status.NOT_SERVING
        watch.cancel()


async def test_watching_asks_again_and_again_and_a_check_that_fails_is_a_no(checked: Checked) -> None:
    with capture_logs() as log:
        watching = asyncio.create_task(checked.readiness.watch())
        for answer in (False, True, OSError("a surprise"), True):
            checked.backend.answer = answer
            await checked.until(Status.SERVING if answer is True else Status.NOT_SERVING)
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching
    assert "readiness_check_failed" in {line["event"] for line in log}


async def test_draining_is_final(checked: Checked) -> None:
    await checked.readiness.drain()
    for answer in (True, False, True):
        checked.backend.answer = answer
        assert await checked.told() == {Status.NOT_SERVING}
        await checked.readiness.update()
    assert await checked.told() == {Status.NOT_SERVING}


async def _returns() -> None:
    """A watch that ends, which none should."""


async def _raises() -> None:
    raise OSError("a surprise")


@pytest.mark.parametrize("watch", [_returns, _raises])
async def test_the_end_of_a_watch_is_told_and_final(checked: Checked, watch: Callable[[], Awaitable[None]]) -> None:
    with capture_logs() as log:
        await checked.readiness.depend_on(watch, "follower")
    assert [line["watch"] for line in log if line["event"] == "watch_ended"] == ["follower"]
    assert await checked.told() == {Status.NOT_SERVING}
    await checked.readiness.update()
    assert await checked.told() == {Status.NOT_SERVING}


async def test_a_watch_that_is_cancelled_is_none_that_ended(checked: Checked) -> None:
    watching = asyncio.create_task(checked.readiness.depend_on(asyncio.Event().wait, "follower"))
    await asyncio.sleep(0)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert await checked.told() == {Status.SERVING}
