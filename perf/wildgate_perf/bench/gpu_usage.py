"""How busy the GPU and its video decoder are, as nvidia-smi reports while something runs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import fmean

COMMAND = (
    *("nvidia-smi", "--id=0", "--format=csv,noheader,nounits", "--loop-ms=250"),
    "--query-gpu=utilization.gpu,utilization.decoder,memory.used,power.draw",
)
_COLUMNS = ("gpu_percent", "nvdec_percent", "memory_mib", "power_w")


@dataclass
class GpuUsage:
    """Means over a run: percent of the time that kernels ran, and that NVDEC worked, MiB in use, watts.

    None until the run is over, and where nvidia-smi knows nothing or reported nothing while the run lasted.
    """

    means: dict[str, float | None] = field(default_factory=lambda: dict.fromkeys(_COLUMNS))

    def read(self, lines: Iterable[str]) -> None:
        """Takes the means of nvidia-smi's `lines`; a value that it does not know ([N/A]) does not count."""
        rows = [row for line in lines if len(row := line.split(",")) == len(_COLUMNS)]
        for place, name in enumerate(_COLUMNS):
            values = [row[place].strip() for row in rows]
            numbers = [float(value) for value in values if value.replace(".", "", 1).isdigit()]
            self.means[name] = round(fmean(numbers), 1) if numbers else None


@contextmanager
def watched(command: tuple[str, ...] = COMMAND) -> Iterator[GpuUsage]:
    """Watches the GPU meanwhile; without nvidia-smi, nothing is known."""
    usage = GpuUsage()
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        yield usage
        return
    try:
        yield usage
    finally:
        process.terminate()
        usage.read(process.communicate()[0].splitlines())
