"""A peer's processes, for as long as something is measured on it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wildgate_perf.cpu_time import CpuTimes, marked_processes, read_cpu_times
from wildgate_perf.peers.peer_setup import PeerFailed

__all__ = ["Running", "running"]

_MARK = "WILDGATE_PEER_MARK"
_STOP_S = 15.0
_TAIL_LINES = 15


@dataclass(frozen=True)
class Running:
    """A started peer: where it listens (`host:port`), and its log."""

    address: str
    log: Path
    process: subprocess.Popen[bytes]
    mark: str

    @property
    def pids(self) -> list[int]:
        """All its processes at this moment, whatever sessions they made for themselves."""
        return marked_processes(_MARK, self.mark)

    def cpu_times(self) -> CpuTimes:
        """Processor time that its processes have used so far."""
        return read_cpu_times(self.pids, kind=lambda pid: "peer")

    def check_alive(self) -> None:
        """Raises PeerFailed, quoting the log, when the peer has ended."""
        if (status := self.process.poll()) is not None:
            raise PeerFailed(f"it ended with status {status}; its log ends with:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The end of what it wrote."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-_TAIL_LINES:])


@contextmanager
def running(command: Sequence[str], address: str, environment: Mapping[str, str], scratch: Path) -> Iterator[Running]:
    """Runs `command` until the context ends, then stops it and whatever it left behind; its log lies in `scratch`.

    It is asked with SIGTERM first. Raises PeerFailed when it cannot be started.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    mark, log = uuid.uuid4().hex, scratch / "log.txt"
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment, _MARK: mark},
                start_new_session=True,
            )
        except OSError as error:
            raise PeerFailed(f"{command[0]} cannot be started: {error}") from error
    try:
        yield Running(address, log, process, mark)
    finally:
        _stop(process, mark)


def _stop(process: subprocess.Popen[bytes], mark: str) -> None:
    if process.poll() is None:
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    deadline = time.monotonic() + _STOP_S
    # What stopped gracefully takes its children along; some of Ray's live on for a while.
    while (left := marked_processes(_MARK, mark)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    process.wait()
