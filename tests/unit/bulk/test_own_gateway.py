from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wildgate_bulk.errors import RunStopped
from wildgate_bulk.own_gateway import start_gateway

SERVES = "import os, time; print('wildgate is ready on 127.0.0.1:7', os.getpid(), flush=True); time.sleep(60)"


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_it_ends_with_the_worker_though_that_is_killed() -> None:
    program = (
        "import os, signal; from wildgate_bulk.own_gateway import start_gateway; "
        f"address, shell = start_gateway(({sys.executable!r}, '-c', {SERVES!r})); "
        "print(address, shell.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    worker = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=False, timeout=60)
    address, pid = worker.stdout.split()
    assert address == "127.0.0.1:7"
    for _ in range(500):
        if gone(int(pid)):  # the shell, which waits for the server
            return
        time.sleep(0.02)
    os.kill(int(pid), 9)
    pytest.fail("it is still there")


def test_one_that_does_not_start_is_said() -> None:
    with pytest.raises(RunStopped, match="ended before it was ready"):
        start_gateway((sys.executable, "-c", "raise SystemExit(2)"))
