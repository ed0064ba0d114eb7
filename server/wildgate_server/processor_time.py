"""Processor time of a server's processes, by what they are: its own, its children's, and theirs."""

from __future__ import annotations

import re
import threading
from collections import defaultdict

import psutil

from wildgate_server.server_metrics import Readings

__all__ = ["ProcessorTimes"]

# The first that fits a command line. A process of Triton's Python backend names the model that it runs.
_STUB = re.compile(r"triton_python_backend_stub\b.*?/models/(\w+)/")
_KINDS = (
    ("sampling_workers", re.compile(r"wildgate_server\.sampling\.worker")),
    ("triton_guard", re.compile(r"triton_guard")),
    ("tritonserver", re.compile(r"tritonserver\b")),
)
_OWN, _OTHER = "gateway", "other"


class ProcessorTimes:
    """Adds up what processes used between readings; what one used after the last reading before its end is lost."""

    def __init__(self) -> None:
        self._own = psutil.Process()
        self._reading = threading.Lock()  # scrapes may come at once
        self._used: dict[tuple[int, float], float] = {}
        self._kinds: dict[tuple[int, float], str] = {}
        self._totals: defaultdict[str, float] = defaultdict(float)

    def read(self) -> Readings:
        """Processor seconds by kind of process, since the first reading or the start of what has started since."""
        with self._reading:
            return self._read()

    def _read(self) -> Readings:
        used: dict[tuple[int, float], float] = {}
        for process in (self._own, *self._own.children(recursive=True)):
            try:
                key, times = (process.pid, process.create_time()), process.cpu_times()
                if key not in self._kinds:
                    self._kinds[key] = _OWN if process == self._own else _kind(" ".join(process.cmdline()))
            except psutil.Error:  # it has just ended
                continue
            used[key] = times.user + times.system
            self._totals[self._kinds[key]] += max(used[key] - self._used.get(key, 0.0), 0.0)
        self._used = used
        self._kinds = {key: self._kinds[key] for key in used}
        return {(kind,): seconds for kind, seconds in self._totals.items()}


def _kind(command: str) -> str:
    if stub := _STUB.search(command):
        return stub[1]
    return next((kind for kind, pattern in _KINDS if pattern.search(command)), _OTHER)
