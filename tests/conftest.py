"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from wildgate_server.triton.embedded import EmbeddedTriton, EmbeddedTritonConfig


@pytest.fixture(scope="session")
def model_repository() -> Path:
    """The committed model repository."""
    return Path(__file__).parents[1] / "model_repository"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def embedded_triton(
    model_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[EmbeddedTriton]:
    """A running embedded Triton with the committed models; shared, so leave it as it was."""
    config = EmbeddedTritonConfig(model_repository, tmp_path_factory.mktemp("embedded_triton"), instances=2)
    async with EmbeddedTriton(config) as triton:
        yield triton
