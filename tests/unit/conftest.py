from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from fake_gateway import FakeGateway, serving_aio, serving_sync


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
