"""What a server's processes hold at a moment, and whether that grows for as long as they are asked."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median

import psutil

from wildgate_perf.cpu_time import kind_of
from wildgate_perf.server_process import ServerProcess

__all__ = ["Growth", "Moment", "growths", "moment"]

_SHARED_MEMORY = Path("/dev/shm")
_MIB = 1 << 20
# What may come and go: of memory a share as well, since allocators keep what the largest video took.
_SWING = {"memory": 24.0, "shared memory": 24.0, "descriptors": 12.0, "threads": 6.0, "processes": 2.0, "files": 6.0}
_SWING_SHARE = 0.06
_STEADY = 0.5  # Kendall's tau of what grows all the time is 1, of what comes and goes about 0


@dataclass(frozen=True)
class Moment:
    """Counts by what they are of, memory in MiB; `at_s` is monotonic."""

    at_s: float
    held: Mapping[str, float]


@dataclass(frozen=True)
class Growth:
    """By how much something grew from the first third of the time to the last, and how steadily (tau)."""

    what: str
    before: float
    after: float
    steady: float

    @property
    def leaks(self) -> bool:
        """Whether it grew by more than comes and goes, and went on growing."""
        swing = max(_SWING[_kind(self.what)], _SWING_SHARE * self.before if "memory" in self.what else 0.0)
        return self.after - self.before > swing and self.steady > _STEADY

    def __str__(self) -> str:
        verdict = "**grows**" if self.leaks else "steady"
        return f"| {self.what} | {self.before:.0f} | {self.after:.0f} | {self.steady:+.2f} | {verdict} |"


def moment(server: ServerProcess, files: Path) -> Moment:
    """What the server's processes hold now; `files` is where they keep temporary ones."""
    held = {"descriptors": 0.0, "threads": 0.0, "processes": 0.0, "shared memory, MiB": 0.0}
    shared = set()
    for process in server.processes():
        with suppress(psutil.Error):
            memory = f"memory of {kind_of(process)}, MiB"
            size, descriptors, threads = process.memory_info(), process.num_fds(), process.num_threads()
            held[memory] = held.get(memory, 0.0) + (size.rss - size.shared) / _MIB
            held["descriptors"] += descriptors
            held["threads"] += threads
            held["processes"] += 1
            shared.add(Path(f"/proc/{process.pid}/root{_SHARED_MEMORY}"))
    held["shared memory, MiB"] = sum(_used(shared)) / _MIB
    held["files"] = sum(1 for _ in files.rglob("*"))
    return Moment(time.monotonic(), held)


def growths(moments: Sequence[Moment]) -> list[Growth]:
    """How each thing that was held at all moments grew. Raises ValueError for fewer than six moments."""
    if len(moments) < 6:
        raise ValueError(f"{len(moments)} moments are too few to see growth in")
    third = len(moments) // 3
    found = []
    for what in sorted({name for each in moments for name in each.held}):
        values = [each.held.get(what, 0.0) for each in moments]
        found.append(Growth(what, median(values[:third]), median(values[-third:]), _tau(values)))
    return found


def _kind(what: str) -> str:
    return next(kind for kind in ("shared memory", *_SWING) if what.startswith(kind))


def _tau(values: Sequence[float]) -> float:
    """Kendall's tau-a: the share of pairs that grow, less that of those that shrink."""
    pairs = [(late > early) - (late < early) for early, late in combinations(values, 2)]
    return sum(pairs) / len(pairs)


def _used(folders: set[Path]) -> Iterator[int]:
    """Bytes in use of each /dev/shm that there is among the folders."""
    seen: set[int] = set()
    for folder in folders:
        with suppress(OSError):
            if (device := folder.stat().st_dev) not in seen:
                seen.add(device)
                usage = psutil.disk_usage(str(folder))
                yield usage.used
