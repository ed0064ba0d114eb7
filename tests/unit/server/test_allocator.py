"""Freed memory that stays with the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import resource, sys
from wildgate_server.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    if not keep_freed_memory():
        sys.exit(3)
def video():
    return bytearray(8 << 20), bytearray(8 << 20)
video()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    video()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    """Of 40 blocks of 8 MiB, which have 2048 pages each."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, how], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode == 3:
        pytest.skip("the C library is not glibc")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_the_next_video_costs_no_page_faults() -> None:
    assert page_faults("kept") < 2048 < page_faults("default")
