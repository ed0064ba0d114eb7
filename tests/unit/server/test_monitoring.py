"""What is answered over HTTP, and to whom not."""

from __future__ import annotations

import asyncio
import socket
import threading
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from urllib.error import HTTPError

import pytest
from fake_pipeline import PATIENCE_S
from gateway_under_test import free_address

from wildgate_server import monitoring as module
from wildgate_server.monitoring import Page, monitoring
from wildgate_server.server_metrics import ServerMetrics


def told(address: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


@asynccontextmanager
async def monitored(
    ready: Callable[[], bool] = lambda: True, pages: Mapping[str, Page] | None = None
) -> AsyncIterator[str]:
    async with monitoring(address := free_address(), ServerMetrics(), ready, pages):
        await asyncio.sleep(0)
        yield address


async def test_readiness_is_not_liveness() -> None:
    ready = False
    async with monitored(lambda: ready) as address:
        assert (await asyncio.to_thread(told, address, "/healthz"))[0] == 200
        assert (await asyncio.to_thread(told, address, "/readyz"))[0] == 503
        ready = True
        assert (await asyncio.to_thread(told, address, "/readyz"))[0] == 200
        status, metrics = await asyncio.to_thread(told, address, "/metrics")
        assert (status, "wildgate_ready 1.0" in metrics) == (200, True)
        assert "process_cpu_seconds_total" in metrics
        assert 'wildgate_build_info{python="3.' in metrics


async def test_a_loop_that_does_not_run_is_not_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DEAD_S", 0.0)
    async with monitored() as address:
        assert (await asyncio.to_thread(told, address, "/healthz"))[0] == 503


async def test_a_page_that_cannot_be_had_says_why() -> None:
    def away() -> bytes:
        raise ConnectionRefusedError("nobody is there")

    async with monitored(pages={"/page": lambda: b"words", "/away": away}) as address:
        assert await asyncio.to_thread(told, address, "/page") == (200, "words")
        assert await asyncio.to_thread(told, address, "/away") == (503, "nobody is there\n")
        assert (await asyncio.to_thread(told, address, "/else"))[0] == 404


async def test_few_are_answered_at_once() -> None:
    async with monitored() as address:
        host, port = address.split(":")
        silent = [socket.create_connection((host, int(port)), PATIENCE_S) for _ in range(40)]
        for each in silent[8:]:
            with suppress(ConnectionError):
                assert await asyncio.to_thread(each.recv, 1) == b""
        assert sum("process_request_thread" in thread.name for thread in threading.enumerate()) <= 8
        for each in silent:
            each.close()
        answer = ""
        while "wildgate_ready" not in answer:  # the threads see that theirs are closed
            with suppress(OSError):
                answer = (await asyncio.to_thread(told, address, "/metrics"))[1]
