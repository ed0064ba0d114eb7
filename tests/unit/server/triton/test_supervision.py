"""An embedded Triton that ends is replaced, less and less soon, and at last given up where that is configured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from event_loop import Clock
from structlog.testing import capture_logs

from wildgate_server.repository.releases import Rollout
from wildgate_server.triton.backend_settings import BackendSettings
from wildgate_server.triton.client import TritonClient
from wildgate_server.triton.runtime import TritonStartError
from wildgate_server.triton.supervision import SupervisedTriton

FIRST, LATER = Rollout(serving=1), Rollout(serving=2)


class Servers:
    """Embedded Tritons that end when they are told to; those whose number is in `broken` do not start."""

    def __init__(self) -> None:
        self.started: list[Rollout] = []
        self.running = 0
        self.broken: set[int] = set()
        self.last = SimpleNamespace()
        self.end = asyncio.Semaphore(0)

    @asynccontextmanager
    async def __call__(self, settings: BackendSettings, rollout: Rollout) -> AsyncIterator[SimpleNamespace]:
        self.started.append(rollout)
        if len(self.started) in self.broken:
            raise TritonStartError("no memory")
        assert self.running == 0, "two at the same time"
        self.running += 1
        endpoints = SimpleNamespace(grpc=f"unix:/nowhere/{len(self.started)}")
        log_file = Path("/nowhere/log")
        models = {"decoder", "detector", "fingerprint"}
        self.last = SimpleNamespace(endpoints=endpoints, log_file=log_file, wait=self._ended, peopled=lambda: models)
        yield self.last
        self.running -= 1

    async def _ended(self) -> int:
        await self.end.acquire()
        return 137


class Supervised:
    """A supervision under test, whose pauses take no time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.servers, self.clock = Servers(), Clock()
        self.pauses_s: list[float] = []
        self.brought: list[Rollout] = []
        self.restarted = asyncio.Semaphore(0)

        async def sleep(pause_s: float) -> None:
            self.pauses_s.append(pause_s)

        monkeypatch.setattr("wildgate_server.triton.supervision.asyncio.sleep", sleep)

    async def bring(self, rollout: Rollout) -> None:
        self.brought.append(rollout)
        self.restarted.release()

    @asynccontextmanager
    async def run(self, restarts: int | None = None) -> AsyncIterator[tuple[asyncio.Task[None], TritonClient]]:
        settings = BackendSettings(restarts=restarts)
        async with (
            SupervisedTriton(settings, FIRST, self.servers, self.clock) as supervised,  # type: ignore[arg-type]
            TritonClient(supervised.target) as client,
        ):
            running = asyncio.create_task(supervised.run(client, lambda: LATER, self.bring))
            yield running, client
            running.cancel()
            await asyncio.wait({running})


@pytest.fixture
def supervised(monkeypatch: pytest.MonkeyPatch) -> Supervised:
    return Supervised(monkeypatch)


async def test_another_takes_its_place_with_what_is_in_force(supervised: Supervised) -> None:
    async with supervised.run() as (_, client):
        supervised.servers.end.release()
        await supervised.restarted.acquire()
        await client.outage.over(30)
        assert supervised.servers.started == [FIRST, LATER]
        assert supervised.brought == [LATER]
        assert supervised.pauses_s == []
    assert supervised.servers.running == 0


async def test_one_that_keeps_ending_is_replaced_less_and_less_soon_and_nobody_asks_it(supervised: Supervised) -> None:
    supervised.servers.broken = {3, 4, 5}
    async with supervised.run() as (_, client):
        for _ in range(2):
            supervised.servers.end.release()
            await supervised.restarted.acquire()
        assert supervised.pauses_s == [0.5, 1.0, 2.0, 4.0]
        await client.outage.over(30)
        supervised.clock.now += 61  # it was steady
        supervised.servers.end.release()
        await supervised.restarted.acquire()
        assert len(supervised.pauses_s) == 4


async def test_it_is_given_up_where_that_is_configured(supervised: Supervised) -> None:
    supervised.servers.broken = {2, 3, 4}
    with capture_logs() as logs:
        async with supervised.run(restarts=2) as (running, client):
            supervised.servers.end.release()
            await asyncio.wait_for(running, 30)
            assert client.outage
    assert len(supervised.servers.started) == 3
    assert [line["event"] for line in logs][-1] == "triton_given_up"


async def test_it_is_gutted_once_several_models_have_no_processes(supervised: Supervised) -> None:
    servers = supervised.servers
    async with SupervisedTriton(BackendSettings(), FIRST, servers, supervised.clock) as triton:  # type: ignore[arg-type]
        servers.last.peopled = lambda: {"detector", "fingerprint"}
        assert not await triton.is_gutted()
        servers.last.peopled = lambda: {"detector"}
        assert await triton.is_gutted()

        def gone() -> set[str]:
            raise FileNotFoundError("models")

        servers.last.peopled = gone
        assert not await triton.is_gutted()
