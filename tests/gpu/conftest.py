"""Everything in this folder needs an NVIDIA GPU; without one it is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from wildgate_server.repository.engine_key import engine_source
from wildgate_server.repository.machine import Gpu, Machine, probe_machine
from wildgate_server.repository.releases import load_rollout, version_directory


@pytest.fixture(scope="session")
def machine() -> Machine:
    """This machine."""
    return probe_machine()


@pytest.fixture(scope="session", autouse=True)
def gpu(machine: Machine) -> Gpu:
    """The GPU to test on."""
    if machine.gpu is None:
        pytest.skip("there is no NVIDIA GPU in this machine")
    return machine.gpu


@pytest.fixture(scope="session")
def shipped(model_repository: Path) -> Path:
    """The shipped detector, as engines are built from it."""
    return engine_source(version_directory(model_repository, load_rollout(model_repository).serving))
