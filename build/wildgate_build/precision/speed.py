"""Which of several runs faster, on a machine that does other things as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter

__all__ = ["Speed", "measure_speed"]


@dataclass(frozen=True)
class Speed:
    """Medians in milliseconds, by name."""

    median_ms: dict[str, float]

    def ratio(self, slow: str, fast: str) -> float:
        """How many times as fast `fast` is."""
        return self.median_ms[slow] / self.median_ms[fast]


def measure_speed(
    runs: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = perf_counter
) -> Speed:
    """Runs each once in every round, after one to warm up: whatever else the machine does hits all alike.

    `clock` gives seconds.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            began = clock()
            run()
            times[name].append((clock() - began) * 1e3)
    return Speed({name: median(values) for name, values in times.items()})
