"""A gateway in this process, its client, and what it shows of itself: metrics and sampling workers."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import socket
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator

import psutil
import pytest

from wildgate_client import ClientOptions, RetryPolicy, ScoringClient, Verdict
from wildgate_server.gateway import run_gateway
from wildgate_server.settings import ServerSettings

MakeSettings = Callable[..., ServerSettings]

PATIENCE_S = 60.0
# Every answer counts as it first comes.
NO_RETRY = ClientOptions(deadline_s=PATIENCE_S, retry=RetryPolicy(attempts=1), stream_in_flight=16)

_POLL_S = 0.02


@dataclasses.dataclass(frozen=True)
class GatewayUnderTest:
    """A running gateway; `workers` are its sampling processes at the start."""

    address: str
    metrics: str
    client: ScoringClient
    workers: tuple[int, ...]


@contextlib.asynccontextmanager
async def running(settings: ServerSettings) -> AsyncIterator[GatewayUnderTest]:
    """Runs a gateway with `settings` and a metrics address of its own."""
    metrics = free_address()
    settings = settings.model_copy(update={"endpoint": settings.endpoint.model_copy(update={"metrics": metrics})})
    before = sampling_workers()
    async with run_gateway(settings) as started, ScoringClient(started.address, NO_RETRY) as client:
        workers = sampling_workers() - before
        assert len(workers) == settings.sampling.workers
        yield GatewayUnderTest(started.address, metrics, client, tuple(workers))


def free_address() -> str:
    """A loopback address that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return f"127.0.0.1:{held.getsockname()[1]}"


async def until(holds: Callable[[], bool], what: str) -> None:
    """Waits until `holds()`; fails saying `what` did not come."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            # Other processes: there is no event to wait for.
            while not await asyncio.to_thread(holds):
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise AssertionError(f"never came: {what}") from None


def videos_in_flight(metrics: str) -> int:
    """The gateway's own gauge, scraped."""
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=PATIENCE_S) as answer:
        lines = answer.read().decode().splitlines()
    [value] = [line.split()[1] for line in lines if line.startswith("wildgate_videos_in_flight ")]
    return int(float(value))


async def until_in_flight(metrics: str, count: int) -> None:
    """Waits until the gateway holds `count` videos."""
    await until(lambda: videos_in_flight(metrics) == count, f"{count} videos in flight")


def sampling_workers() -> set[int]:
    """The sampling processes of all gateways in this process."""
    children = psutil.process_iter(["ppid", "cmdline"])  # of a child that has just ended, cmdline is None
    mine = (child for child in children if child.info["ppid"] == os.getpid())
    return {child.pid for child in mine if "sampling.worker" in " ".join(child.info["cmdline"] or ())}


@contextlib.contextmanager
def paused(worker: int) -> Iterator[None]:
    """Stops a process that idles, so that what it is given waits."""
    process = psutil.Process(worker)
    process.suspend()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("wildgate_server.sampling.process._TAKING_S", PATIENCE_S)
            yield
    finally:
        process.resume()


def processor_time_s(process: int) -> float:
    """Processor time that the process has used."""
    times = psutil.Process(process).cpu_times()
    return float(times.user + times.system)


def without_timings(verdict: Verdict) -> Verdict:
    """The verdict alone: what must not depend on company or on the machine's mood."""
    return dataclasses.replace(verdict, timings=())
