"""What every phase of the benchmark gets and gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from wildgate_perf.bench.plan import Budget, Plan
from wildgate_perf.cpu_time import CpuTimes, machine_cpu_s
from wildgate_perf.load_generator import Loaded
from wildgate_perf.loops import Measured
from wildgate_perf.server_parts import available_cores
from wildgate_perf.server_process import ServerProcess, serving
from wildgate_perf.videos import VIDEOS, bench_videos, large_videos

SETTINGS: dict[str, object] = {"cache__max_entries": 0}
"""What differs from the server's defaults: the same videos come again and again, and must be scored again."""


class PhaseFailed(Exception):
    """A phase could not measure what it is there for; the text says why."""


@dataclass(frozen=True)
class Bench:
    """What is measured with: lengths, where videos and logs lie, which models, and where progress is told.

    The time of the whole benchmark runs from the making of this.
    """

    plan: Plan
    folder: Path
    repository: Path
    say: Callable[[str], None] = print
    whole: Budget = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "whole", Budget(self.plan.whole_s))

    def budget(self, seconds: float) -> Budget:
        """The time a phase has, from now on: `seconds`, or what is left of the whole."""
        return Budget(min(seconds, self.whole.left_s))

    @property
    def video_folder(self) -> Path:
        """Where videos are composed, and from where servers may read them."""
        return self.folder / VIDEOS.name

    @property
    def clients(self) -> int:
        """Closed-loop clients that keep every core busy."""
        return self.plan.clients_per_core * available_cores()

    def videos(self) -> list[Path]:
        """The plan's videos of 5 MB."""
        return bench_videos(self.video_folder, self.plan.videos)

    def peer_videos(self) -> list[Path]:
        """The plan's videos of 5 MB for the contest with peers."""
        return bench_videos(self.video_folder, self.plan.peer_videos)

    def large_videos(self) -> list[Path]:
        """The plan's videos of 8 MB."""
        return large_videos(self.video_folder, self.plan.large_videos)

    def serving(self, phase: str, **settings: object) -> AbstractContextManager[ServerProcess]:
        """A server for a phase that may read the videos by `file:` URI; see `serving` for its settings."""
        settings = {"backend__model_repository": self.repository, "source__file_roots": [self.video_folder], **settings}
        return serving(log_folder=self.logs(phase), **settings)

    def logs(self, phase: str) -> Path:
        """Where a phase's server writes its logs."""
        return self.folder / "logs" / phase


@dataclass(frozen=True)
class Findings:
    """What a phase found: figures by the keys of `latest.json`, and all they rest on."""

    figures: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


def all_answered(loaded: Loaded[Measured]) -> Measured:
    """The measurement, where every question that counted was answered. Raises PhaseFailed."""
    measured = loaded.result
    if measured.failures:
        raise PhaseFailed(f"{len(measured.failures)} questions failed, the first with {measured.failures[0]}")
    if not measured.answers:
        raise PhaseFailed(f"no answer came within {measured.seconds:g} s")
    return measured


class Bystanders:
    """Whatever else the machine did since this was made: cores kept busy by others, and by the host (steal)."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._began = now()
        self._busy_s, self._steal_s = machine_cpu_s()

    def cores(self, ours_s: float) -> dict[str, float]:
        """Means since the beginning, in cores; `ours_s` is the processor time that was for the measurement."""
        busy_s, steal_s = machine_cpu_s()
        elapsed = self._now() - self._began
        others = max(0.0, busy_s - self._busy_s - ours_s)
        return {"others": round(others / elapsed, 3), "steal": round((steal_s - self._steal_s) / elapsed, 3)}


Result = TypeVar("Result")


@dataclass(frozen=True)
class Observed(Generic[Result]):
    """A loop of the load generator, the processor time of the server meanwhile, and what else the machine did."""

    loaded: Loaded[Result]
    used: CpuTimes
    others: Mapping[str, float]

    def cpu_ms(self) -> dict[str, float]:
        """Processor milliseconds per answer, by kind of process."""
        return self.used.per(self.loaded.answered)


def observed(cpu_times: Callable[[], CpuTimes], load: Callable[[], Loaded[Result]]) -> Observed[Result]:
    """Runs `load` and watches what it takes."""
    watch, before = Bystanders(), cpu_times()
    loaded = load()
    used = cpu_times().since(before)
    return Observed(loaded, used, watch.cores(used.total_s + loaded.cpu_s))
