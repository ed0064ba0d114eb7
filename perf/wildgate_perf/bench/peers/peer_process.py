"""A peer's processes, for as long as something is measured on it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from wildgate_perf.bench.peers.peer_setup import PeerFailed
from wildgate_perf.cpu_time import CpuTimes, marked_processes, read_cpu_times

_MARK = "WILDGATE_PEER_MARK"
_STOP_S = 15.0
_TAIL_LINES = 15


@dataclass(frozen=True)
class Running:
    """A started peer, and its log."""

    log: Path
    process: subprocess.Popen[bytes]
    mark: str

    def processes(self) -> list[psutil.Process]:
        """All its processes at this moment, whatever sessions they made for themselves."""
        return marked_processes(_MARK, self.mark)

    def cpu_times(self) -> CpuTimes:
        """Processor time that its processes have used so far."""
        return read_cpu_times(self.processes(), kind=lambda process: "peer")

    def check_alive(self) -> None:
        """Raises PeerFailed, quoting the log, when the peer has ended."""
        if (status := self.process.poll()) is not None:
            raise PeerFailed(f"it ended with status {status}; its log ends with:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The end of what it wrote."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:])


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str], scratch: Path) -> Iterator[Running]:
    """Runs `command` until the context ends, then stops it and whatever it left behind; its log lies in `scratch`.

    It is asked with SIGTERM first. Raises PeerFailed when it cannot be started.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    mark, log = uuid.uuid4().hex, scratch / "log.txt"
    told = {**os.environ, **environment, _MARK: mark}
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=told,
                start_new_session=True,
            )
        except OSError as error:
            raise PeerFailed(f"{command[0]} cannot be started: {error}") from error
    peer = Running(log, process, mark)
    try:
        yield peer
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
        left = peer.processes()  # what stops gracefully takes its children along
        for each in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(left, _STOP_S)
        process.wait()
