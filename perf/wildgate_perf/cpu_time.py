"""Processor time of processes, as Linux counts it in /proc/PID/stat."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CpuTimes", "descendants", "kind_of", "machine_cpu_s", "marked_processes", "process_cpu_s", "read_cpu_times"]

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")

# What a process of a running `wildgate serve` is, by its command line; the first that fits.
_KINDS = (
    ("decoder stubs", re.compile(r"triton_python_backend_stub\b.*\bclip_decoder")),
    ("detector stubs", re.compile(r"triton_python_backend_stub\b.*\bwildlife_detector")),
    ("other stubs", re.compile(r"triton_python_backend_stub\b")),
    ("triton guard", re.compile(r"triton_guard")),
    ("tritonserver", re.compile(r"tritonserver\b")),
    ("resource tracker", re.compile(r"multiprocessing\.resource_tracker")),
    ("sampling workers", re.compile(r"wildgate_server\.sampling\.worker")),
    ("gateway", re.compile(r"wildgate.*\bserve\b")),
)


@dataclass(frozen=True)
class CpuTimes:
    """Processor seconds by kind of process, at one moment or between two."""

    by_kind: dict[str, float]

    @property
    def total_s(self) -> float:
        """All kinds together."""
        return sum(self.by_kind.values())

    def since(self, before: CpuTimes) -> CpuTimes:
        """What was used after `before`; a kind that was not there then counts whole."""
        return CpuTimes({kind: max(0.0, s - before.by_kind.get(kind, 0.0)) for kind, s in self.by_kind.items()})

    def per(self, count: int) -> dict[str, float]:
        """Milliseconds by kind for each of `count` videos; NaN of none."""
        return {kind: seconds * 1e3 / count if count else float("nan") for kind, seconds in self.by_kind.items()}


def process_cpu_s(pid: int) -> float:
    """User and system seconds that process `pid` and its ended children have used.

    Raises ProcessLookupError when there is no such process.
    """
    fields = _stat(pid)
    # utime, stime, cutime and cstime are fields 14 to 17 of proc_pid_stat(5); the list begins with field 3.
    return sum(int(field) for field in fields[11:15]) * _TICK_S


def marked_processes(variable: str, value: str) -> list[int]:
    """The processes that were started with this variable in their environment, as far as it may be read."""
    wanted = f"{variable}={value}".encode()
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:  # gone meanwhile, or another user's
                continue
    return found


def machine_cpu_s(stat: Path = _PROC / "stat") -> tuple[float, float]:
    """Seconds since its start that the machine's cores were busy, and that the host kept from them (steal)."""
    # user nice system idle iowait irq softirq steal ..., of all cores together: proc_stat(5)
    user, nice, system, _, _, irq, softirq, steal = (int(field) for field in stat.read_text().split()[1:9])
    return (user + nice + system + irq + softirq) * _TICK_S, steal * _TICK_S


def descendants(pid: int) -> list[int]:
    """`pid` and all processes below it, itself first."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
            except ProcessLookupError:
                continue
    found = [pid]
    for parent in found:  # grows while it is gone through
        found += children.get(parent, [])
    return found


def kind_of(pid: int) -> str:
    """Which part of a running server `pid` is, by its command line: "gateway", "sampling workers" ... or "other"."""
    try:
        command = (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "other"
    return next((kind for kind, pattern in _KINDS if pattern.search(command)), "other")


def read_cpu_times(pids: Iterable[int], kind: Callable[[int], str] = kind_of) -> CpuTimes:
    """What the processes `pids` have used so far, by `kind`; those that are gone count nothing."""
    used: dict[str, float] = {}
    for pid in pids:
        try:
            seconds = process_cpu_s(pid)
        except ProcessLookupError:
            continue
        name = kind(pid)
        used[name] = used.get(name, 0.0) + seconds
    return CpuTimes(used)


def _stat(pid: int) -> list[str]:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ProcessLookupError(f"there is no process {pid}") from error
    return text.rpartition(")")[2].split()  # a process may be called anything, parentheses included
