"""Runs tritonserver so that it never outlives the process that wanted it.

    python -I -S triton_guard.py SHM_PREFIX SCRATCH_DIRECTORY COMMAND...

A process that is killed cannot clean up after itself, so this one stands between: it starts the command as
the head of a process group and holds the read end of a pipe (stdin) from the gateway. When the pipe closes,
however the gateway ended, it kills the group: the server and its Python stubs. SIGTERM is passed on to the
server alone, which then stops gracefully. Last it removes the shared memory regions with the prefix and the
scratch directory, and exits as the command did. It runs by path, with the standard library and `box` alone, to
start at once and stay small. The command goes into the box that lies in the scratch directory; the guard does not.

Videos lie in those regions, which the Python backend makes readable for every user of the machine, whatever the umask.
So the server gets a /dev/shm of its own, where the kernel lets this process mount one and no model lies there;
elsewhere regions are closed to others soon after they appear.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from wildgate_server.box import Box, die_with_parent

__all__ = ["BOX_FILE", "clean_up", "main", "own_shared_memory"]

BOX_FILE = "box"
"""Name of the file in the scratch directory that the server's box lies in, pickled."""

_SHARED_MEMORY = Path("/dev/shm")
_CLOSING_PERIOD_S = 0.05
_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000  # linux/sched.h
_MS_NOSUID, _MS_NODEV, _MS_REC, _MS_PRIVATE = 2, 4, 0x4000, 0x40000  # linux/mount.h


def main(shm_prefix: str, scratch: Path, command: list[str]) -> int:
    """Runs `command` to its end and returns its exit status, 128 + n for signal n."""
    libc = ctypes.CDLL(None, use_errno=True)
    stop_asked = threading.Event()
    # Until the server runs there is no process to pass SIGTERM on to: remember it.
    signal.signal(signal.SIGTERM, lambda *_: stop_asked.set())
    box: Box = pickle.loads((scratch / BOX_FILE).read_bytes())
    if _needs_the_common_one(scratch) or not own_shared_memory(libc, box.user):
        threading.Thread(target=_keep_closed, args=(shm_prefix,), daemon=True).start()
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=partial(_enter, box),
    )
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    if stop_asked.is_set():
        server.terminate()
    threading.Thread(target=_kill_at_end_of_pipe, args=(server.pid,), daemon=True).start()
    status = server.wait()
    _kill_group(server.pid)  # Stubs that a crashed server left behind.
    clean_up(shm_prefix, scratch)
    return status if status >= 0 else 128 - status


def _enter(box: Box) -> None:
    box.enter()
    die_with_parent(signal.SIGKILL)  # should this guard itself be killed, the server goes too, and its stubs follow it


def own_shared_memory(libc: ctypes.CDLL, owner: tuple[int, int] | None = None) -> bool:
    """Gives this process, and those it starts, a /dev/shm that only `owner` may enter, by default this user.

    Returns whether that was allowed. Root needs no user namespace for that; in one, other users are the same user and
    group as before.
    """
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWNS) != 0:
        if libc.unshare(_CLONE_NEWNS | _CLONE_NEWUSER) != 0:
            return False
        for file, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            Path(f"/proc/self/{file}").write_text(text, encoding="ascii")
    user, group = owner or (user, group)
    options = f"mode=0700,uid={user},gid={group}".encode()
    mounts = (  # the first has this process's mounts stay its own
        (None, b"/", None, _MS_REC | _MS_PRIVATE, None),
        (b"tmpfs", os.fsencode(_SHARED_MEMORY), b"tmpfs", _MS_NOSUID | _MS_NODEV, options),
    )
    return all(libc.mount(*mount) == 0 for mount in mounts)


def _needs_the_common_one(scratch: Path) -> bool:
    files = [scratch, *(entry for entry in scratch.rglob("*") if entry.is_symlink())]
    return any(_SHARED_MEMORY in file.resolve().parents for file in files)


def _keep_closed(shm_prefix: str) -> None:
    while True:
        for region in _SHARED_MEMORY.glob(f"{shm_prefix}*"):
            with contextlib.suppress(OSError):
                region.chmod(0o600)
        time.sleep(_CLOSING_PERIOD_S)


def clean_up(shm_prefix: str, scratch: Path) -> None:
    """Removes what a server that has ended may have left: stubs, shared memory regions and its scratch directory.

    A stub that waits for a lock of the dead server's never notices that it has gone.
    """
    for process in processes_of(scratch):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    for region in _SHARED_MEMORY.glob(f"{shm_prefix}*"):
        region.unlink(missing_ok=True)
    shutil.rmtree(scratch, ignore_errors=True)


def processes_of(scratch: Path) -> dict[int, bytes]:
    """The command lines of what was started from below `scratch` and runs, this process apart."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (process / "cmdline").read_bytes()  # nothing, of one that has ended
            if process.name != str(os.getpid()) and os.fsencode(f"{scratch}/") in line:
                found[int(process.name)] = line
    return found


def _kill_at_end_of_pipe(group: int) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    _kill_group(group)


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
