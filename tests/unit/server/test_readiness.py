"""Health says SERVING only while work could be done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

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
        self.asked = 0

    async def ready(self) -> bool:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def backend() -> Backend:
    return Backend()


@asynccontextmanager
async def checking(readiness: Readiness) -> AsyncIterator[health_pb2_grpc.HealthStub]:
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(readiness.servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield health_pb2_grpc.HealthStub(channel)
    await server.stop(None)


async def statuses(stub: health_pb2_grpc.HealthStub) -> set[int]:
    return {(await stub.Check(health_pb2.HealthCheckRequest(service=service))).status for service in SERVICES}


async def until(stub: health_pb2_grpc.HealthStub, status: int) -> None:
    async with asyncio.timeout(30):
        while True:
            if await statuses(stub) == {status}:
                return
            await asyncio.sleep(0.005)


async def test_health_follows_the_backend(backend: Backend) -> None:
    readiness = Readiness(SERVICES[1:], backend.ready)
    async with checking(readiness) as stub:
        for answer in (True, False, False, True):
            backend.answer = answer
            await readiness.update()
            assert await statuses(stub) == {Status.SERVING if answer else Status.NOT_SERVING}


async def test_an_unknown_service_is_not_found(backend: Backend) -> None:
    readiness = Readiness(SERVICES[1:], backend.ready)
    await readiness.update()
    async with checking(readiness) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await stub.Check(health_pb2.HealthCheckRequest(service="other"))
    assert refusal.value.code() is grpc.StatusCode.NOT_FOUND


async def test_watchers_are_told_of_changes(backend: Backend) -> None:
    readiness = Readiness(SERVICES[1:], backend.ready)
    await readiness.update()
    async with checking(readiness) as stub, asyncio.timeout(30):
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICES[1]))
        assert (await watch.read()).status == Status.SERVING
        backend.answer = False
        await readiness.update()
        assert (await watch.read()).status == Status.NOT_SERVING
        watch.cancel()


async def test_watching_asks_again_and_again(backend: Backend) -> None:
    readiness = Readiness(SERVICES[1:], backend.ready, period_s=0.01)
    async with checking(readiness) as stub:
        watching = asyncio.create_task(readiness.watch())
        await until(stub, Status.SERVING)
        backend.answer = False
        await until(stub, Status.NOT_SERVING)
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching


async def test_a_check_that_fails_is_not_ready_and_the_watch_goes_on(backend: Backend) -> None:
    readiness = Readiness(SERVICES[1:], backend.ready, period_s=0.01)
    await readiness.update()
    with capture_logs() as log:
        await _fail_and_recover(readiness, backend)
    assert "readiness_check_failed" in {line["event"] for line in log}


async def _fail_and_recover(readiness: Readiness, backend: Backend) -> None:
    async with checking(readiness) as stub:
        backend.answer = OSError("a surprise")
        watching = asyncio.create_task(readiness.watch())
        await until(stub, Status.NOT_SERVING)
        backend.answer = True
        await until(stub, Status.SERVING)
        assert not watching.done()
        watching.cancel()


async def test_draining_is_final(backend: Backend) -> None:
    readiness = Readiness(SERVICES[1:], backend.ready)
    await readiness.update()
    async with checking(readiness) as stub:
        await readiness.drain()
        assert await statuses(stub) == {Status.NOT_SERVING}
        backend.answer = False
        await readiness.update()
        backend.answer = True
        await readiness.update()
        assert await statuses(stub) == {Status.NOT_SERVING}


async def _returns() -> None:
    """A watch that ends, which none should."""


async def _raises() -> None:
    raise OSError("a surprise")


@pytest.mark.parametrize("watch", [_returns, _raises])
async def test_the_end_of_a_watch_is_told_and_final(backend: Backend, watch: Callable[[], Awaitable[None]]) -> None:
    readiness = Readiness(SERVICES[1:], backend.ready)
    await readiness.update()
    async with checking(readiness) as stub:
        with capture_logs() as log:
            await readiness.depend_on(watch, "follower")
        assert [line["watch"] for line in log if line["event"] == "watch_ended"] == ["follower"]
        assert await statuses(stub) == {Status.NOT_SERVING}
        await readiness.update()
        assert await statuses(stub) == {Status.NOT_SERVING}


async def test_a_watch_that_is_cancelled_is_none_that_ended(backend: Backend) -> None:
    readiness = Readiness(SERVICES[1:], backend.ready)
    await readiness.update()
    async with checking(readiness) as stub:
        watching = asyncio.create_task(readiness.depend_on(asyncio.Event().wait, "follower"))
        await asyncio.sleep(0)
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching
        assert await statuses(stub) == {Status.SERVING}
