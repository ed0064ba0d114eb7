"""Fixtures of the importer's tests: a bench to import at, and blocky pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from importing_bench import Bench
from numpy.typing import NDArray


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def windows() -> Callable[[int], NDArray[np.uint8]]:
    """Two windows of two frames of a side, made of blocks, so that a network sees different things at its places."""

    def make(side: int) -> NDArray[np.uint8]:
        blocks = np.random.default_rng(5).integers(0, 256, (2, 2, side // 8, side // 8, 3), np.uint8)
        return blocks.repeat(8, axis=2).repeat(8, axis=3)

    return make
