"""Cores by affinity and by a container's limit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wildgate_server.cores import available_cores

AFFINITY = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("content", "cores"),
    [
        ("max 100000", AFFINITY),
        ("100000 100000", 1),
        ("50000 100000", 1),  # half a core is still one process at a time
        ("6400000 100000", min(64, AFFINITY)),
        ("nonsense", AFFINITY),
    ],
)
def test_a_quota_lowers_the_number(tmp_path: Path, content: str, cores: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(content)
    assert available_cores(file) == cores


def test_no_cgroup_no_quota(tmp_path: Path) -> None:
    assert available_cores(tmp_path / "missing") == AFFINITY
