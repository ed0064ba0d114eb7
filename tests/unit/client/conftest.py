from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# The demo and the conformance run are programs, not packages; their pure parts are tested here.
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "demo"), str(ROOT / "tests" / "conformance")]

from fake_gateway import FakeGateway, serving_aio, serving_sync  # noqa: E402


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
async def target(gateway: FakeGateway) -> AsyncIterator[str]:
    """The fake on grpc.aio, for tests of the client."""
    async with serving_aio(gateway) as target:
        yield target


@pytest.fixture
def command_target(gateway: FakeGateway) -> Iterator[str]:
    """The fake on a thread pool, for tests of commands, which run an event loop of their own."""
    with serving_sync(gateway) as target:
        yield target
