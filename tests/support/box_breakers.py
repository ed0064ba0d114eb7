"""What somebody would try who has taken a process over that reads hostile videos; of no harm if it works."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from misbehaving_sampling import nothing_sampled

from wildgate_server.media.sampled_video import SampledVideo, VideoLimits
from wildgate_server.sampling.look import Look
from wildgate_server.sampling.plan import SamplingConfig

_CLONE_NEWUSER = 0x10000000


def _forked() -> None:
    if not os.fork():
        os._exit(0)
    os.wait()


def _new_namespace() -> None:
    if ctypes.CDLL(None).unshare(_CLONE_NEWUSER) != 0:
        raise OSError


def _listening() -> None:
    with socket.create_server(("127.0.0.1", 0)):
        pass


def _connected() -> None:
    with socket.create_connection(("127.0.0.1", int(os.environ["PYTHONTESTPORT"])), timeout=5):
        pass


def _written() -> None:
    Path(os.environ["PYTHONTESTFILE"]).write_text("taken over")


def _user_changed() -> None:
    os.setuid(os.geteuid())


def _other_signalled() -> None:
    os.kill(os.getppid(), 0)


def _many_files() -> None:
    with ExitStack() as held:
        for _ in range(600):
            held.enter_context(open(os.devnull))


def _a_thread() -> None:
    thread = threading.Thread(target=signal.getsignal, args=(signal.SIGINT,))
    thread.start()
    thread.join()


def _read() -> None:
    Path(os.__file__).read_bytes()


ATTEMPTS: dict[str, Callable[[], None]] = {
    "program": lambda: subprocess.run(["true"], check=True) and None,
    "fork": _forked,
    "open the gateway's memory": lambda: os.close(os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY)),
    "read a secret": lambda: Path(os.environ["PYTHONTESTFILE"] + ".secret").read_bytes() and None,
    "signal the gateway": _other_signalled,
    "listen": _listening,
    "connect": _connected,
    "write a file": _written,
    "change the user": _user_changed,
    "namespace": _new_namespace,
    "open many files": _many_files,
    # what has to go on
    "thread": _a_thread,
    "read the library": _read,
}


def try_all(source: object, config: SamplingConfig, limits: VideoLimits, look: Look) -> SampledVideo:
    """Tries all; what worked is told as the codec, and the user as the format."""
    worked = []
    for name, attempt in ATTEMPTS.items():
        try:
            attempt()
        except (OSError, RuntimeError):
            continue
        worked.append(name)
    return nothing_sampled(codec=",".join(worked))
