"""How busy the GPU and its video decoder are, as nvidia-smi tells while something runs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from statistics import fmean

__all__ = ["GpuUsage", "UsageSampler", "watched"]

COMMAND = (
    "nvidia-smi",
    "--id=0",
    "--query-gpu=utilization.gpu,utilization.decoder,memory.used,power.draw",
    "--format=csv,noheader,nounits",
    "--loop-ms=250",
)


@dataclass(frozen=True)
class GpuUsage:
    """Means over a run: percent of the time that kernels ran, and that NVDEC worked, MiB in use, watts.

    None where nvidia-smi does not tell, or told nothing while the run lasted.
    """

    gpu_percent: float | None = None
    nvdec_percent: float | None = None
    memory_mib: float | None = None
    power_w: float | None = None

    @classmethod
    def of(cls, lines: Iterable[str]) -> GpuUsage:
        """The means of nvidia-smi's `lines`; a value it does not know ([N/A]) does not count."""
        columns: list[list[float]] = [[] for _ in fields(cls)]
        for line in lines:
            values = line.split(",")
            if len(values) == len(columns):
                for column, value in zip(columns, values, strict=True):
                    column.extend(_number(value))
        return cls(*(round(fmean(column), 1) if column else None for column in columns))


class UsageSampler:
    """Runs nvidia-smi until it is read; `usage` is what it told."""

    def __init__(self, process: subprocess.Popen[str] | None) -> None:
        self._process = process
        self.usage = GpuUsage()

    def stop(self) -> None:
        """Ends nvidia-smi and reads what it told."""
        if self._process is not None:
            self._process.terminate()
            lines, _ = self._process.communicate()
            self.usage = GpuUsage.of(lines.splitlines())


@contextmanager
def watched(command: tuple[str, ...] = COMMAND) -> Iterator[UsageSampler]:
    """Watches the GPU meanwhile; without nvidia-smi, nothing is told."""
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        process = None
    sampler = UsageSampler(process)
    try:
        yield sampler
    finally:
        sampler.stop()


def _number(text: str) -> Iterator[float]:
    try:
        yield float(text)
    except ValueError:
        return
