"""Runs tritonserver so that it never outlives the process that wanted it.

    python -I -S triton_guard.py SHM_PREFIX SCRATCH_DIRECTORY COMMAND...

A process that is killed cannot clean up after itself, so this one stands between: it starts the command as
the head of a process group and holds the read end of a pipe (stdin) from the gateway. When the pipe closes,
however the gateway ended, it kills the group: the server and its Python stubs. SIGTERM is passed on to the
server alone, which then stops gracefully. Last it removes the shared memory regions with the prefix and the
scratch directory, and exits as the command did. It runs by path, with the standard library alone, to start
at once and stay small.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_SHARED_MEMORY = Path("/dev/shm")


def main(shm_prefix: str, scratch: Path, command: list[str]) -> int:
    """Runs `command` to its end and returns its exit status, 128 + n for signal n."""
    libc = ctypes.CDLL(None)
    stop_asked = threading.Event()
    # Until the server runs there is no process to pass SIGTERM on to: remember it.
    signal.signal(signal.SIGTERM, lambda *_: stop_asked.set())
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        process_group=0,
        # Should this guard itself be killed, the server goes too, and its stubs follow it.
        preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    if stop_asked.is_set():
        server.terminate()
    threading.Thread(target=_kill_at_end_of_pipe, args=(server.pid,), daemon=True).start()
    status = server.wait()
    _kill_group(server.pid)  # Stubs that a crashed server left behind.
    clean_up(shm_prefix, scratch)
    return status if status >= 0 else 128 - status


def clean_up(shm_prefix: str, scratch: Path) -> None:
    """Removes what a server that has ended may have left: shared memory regions and its scratch directory."""
    for region in _SHARED_MEMORY.glob(f"{shm_prefix}*"):
        region.unlink(missing_ok=True)
    shutil.rmtree(scratch, ignore_errors=True)


def _kill_at_end_of_pipe(group: int) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    _kill_group(group)


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
