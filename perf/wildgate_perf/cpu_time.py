"""Processor time of processes and of the machine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil

# What a process of a running `wildgate serve` is, by its command line; the first that fits.
_KINDS = (
    ("decoder stubs", re.compile(r"triton_python_backend_stub\b.*\bclip_decoder")),
    ("detector stubs", re.compile(r"triton_python_backend_stub\b.*\bwildlife_detector")),
    ("fingerprint stubs", re.compile(r"triton_python_backend_stub\b.*\bframe_fingerprint")),
    ("other stubs", re.compile(r"triton_python_backend_stub\b")),
    ("triton guard", re.compile(r"triton_guard")),
    ("tritonserver", re.compile(r"tritonserver\b")),
    ("resource tracker", re.compile(r"multiprocessing\.resource_tracker")),
    ("sampling workers", re.compile(r"wildgate_server\.sampling\.worker")),
    ("gateway", re.compile(r"wildgate.*\bserve\b|-m wildgate_server\b|wildgate_perf\.soak\.leaky\b")),
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


def marked_processes(variable: str, value: str) -> list[psutil.Process]:
    """The processes that were started with this variable in their environment, as far as it may be read.

    Unlike the tree of processes, it also has those whose parent has ended.
    """
    return [p for p in psutil.process_iter(["environ"]) if (p.info["environ"] or {}).get(variable) == value]


def kind_of(process: psutil.Process) -> str:
    """Which part of a running server it is, by its command line: "gateway", "sampling workers" ... or "other"."""
    command = " ".join(process.cmdline())
    return next((kind for kind, pattern in _KINDS if pattern.search(command)), "other")


def read_cpu_times(processes: Iterable[psutil.Process], kind: Callable[[psutil.Process], str] = kind_of) -> CpuTimes:
    """What the processes and their ended children have used so far, by `kind`; those that are gone count nothing."""
    used: dict[str, float] = {}
    for process in processes:
        try:
            seconds, name = sum(process.cpu_times()[:4]), kind(process)
        except psutil.Error:
            continue
        used[name] = used.get(name, 0.0) + seconds
    return CpuTimes(used)


def machine_cpu_s() -> tuple[float, float]:
    """Seconds since its start that the machine's cores were busy, and that the host kept from them (steal)."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq, times.steal
