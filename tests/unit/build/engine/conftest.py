from __future__ import annotations

from pathlib import Path

import pytest
from engine_detectors import write_means

from wildgate_server.repository.machine import Gpu, Machine

BARE = Machine(None, None)
ADA = Machine(Gpu("NVIDIA L4", "8.9"), "580.82.07", {"tensorrt": "11.1.0.5", "rtx": "1.7.1.116"})


@pytest.fixture
def bare() -> Machine:
    """A machine without a GPU."""
    return BARE


@pytest.fixture
def ada() -> Machine:
    """A machine with a GPU of compute capability 8.9."""
    return ADA


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    """A small standard detector file."""
    return write_means(tmp_path / "detector.onnx")


@pytest.fixture(scope="session")
def tensorrt_rtx() -> object:
    """The real TensorRT-RTX, which builds without a GPU."""
    return pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed (pip install tensorrt-rtx-cu13)")
