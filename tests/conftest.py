"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import structlog
from checkout import MODEL_REPOSITORY

from wildgate_server.triton.backend_settings import BackendSettings
from wildgate_server.triton.embedded import EmbeddedTriton

MEMORY = Path("/dev/shm")


def pytest_configure() -> None:
    """Keeps temporary files in memory where there is plenty: many thousands of small ones come and go."""
    usable = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    if usable and shutil.disk_usage(MEMORY).free > 4 << 30:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.fixture(autouse=True)
def _logs_all_again() -> Iterator[None]:
    """Commands choose for their process what is logged, and where; the next test expects that all is."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session", autouse=True)
def temporary_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Temporary files of all that is tested, subprocesses included, go with the session."""
    directory = tmp_path_factory.mktemp("tmp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(directory))
        patch.setattr(tempfile, "tempdir", None)  # asks the environment again
        yield directory


@pytest.fixture(scope="session")
def model_repository() -> Path:
    """The committed model repository."""
    return MODEL_REPOSITORY


@pytest.fixture
def own_models(tmp_path: Path) -> Path:
    """A copy of the committed model repository, to be changed."""
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(MODEL_REPOSITORY, tmp_path / "models", ignore=ignored))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def embedded_triton(
    model_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[EmbeddedTriton]:
    """A running embedded Triton with the committed models; shared, so leave it as it was."""
    config = BackendSettings(
        model_repository=model_repository, log_dir=tmp_path_factory.mktemp("embedded_triton"), instances=2
    )
    async with EmbeddedTriton(config) as triton:
        yield triton
