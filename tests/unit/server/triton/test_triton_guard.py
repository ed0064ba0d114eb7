"""What the guard hides from other users, seen by a command that it runs."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from wildgate_server.box import UNBOXED
from wildgate_server.triton import triton_guard

# Makes a region as Boost does, readable by all, and tells what others see of it once there was time to close it.
REGION = """
import os, sys, time
region = "/dev/shm/" + sys.argv[1]
os.close(os.open(region, os.O_CREAT, 0o644))
for _ in range(500):
    if os.stat("/dev/shm").st_mode & 0o077 == 0 or os.stat(region).st_mode & 0o077 == 0:
        break
    time.sleep(0.01)
print(oct(os.stat("/dev/shm").st_mode & 0o7777), oct(os.stat(region).st_mode & 0o777))
"""


def unboxed(scratch: Path) -> Path:
    scratch.mkdir()
    (scratch / triton_guard.BOX_FILE).write_bytes(pickle.dumps(UNBOXED))
    return scratch


def told(scratch: Path, prefix: str) -> list[str]:
    guard = [sys.executable, "-I", "-S", triton_guard.__file__, prefix, str(scratch)]
    command = [sys.executable, "-c", REGION, prefix]
    reading, writing = os.pipe()  # the gateway's end, which is not to close
    with os.fdopen(reading), os.fdopen(writing, "wb"):
        return (
            subprocess.run([*guard, *command], stdin=reading, capture_output=True, check=True).stdout.decode().split()
        )


@pytest.fixture
def prefix() -> str:
    return f"guarded-{uuid.uuid4().hex}"


def may_mount() -> bool:
    program = "import os, ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x10020000 if os.getuid() else 0x20000) != 0)"
    return subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="mounts are not allowed here")
def test_regions_lie_in_a_shared_memory_that_only_this_user_may_enter(prefix: str) -> None:
    with TemporaryDirectory(dir="/var/tmp") as folder:
        directory, _ = told(unboxed(Path(folder) / "scratch"), prefix)
    assert directory == "0o700"
    assert os.stat("/dev/shm").st_mode & 0o777 != 0o700, "that of all others is as it was"


def test_where_models_lie_in_the_common_one_regions_are_closed_to_others(prefix: str, tmp_path: Path) -> None:
    scratch = unboxed(tmp_path / "scratch")
    (scratch / "model").symlink_to("/dev/shm/models/model.py")
    _, region = told(scratch, prefix)
    assert region == "0o600"
    assert not scratch.exists()
    assert not list(Path("/dev/shm").glob(f"{prefix}*"))
