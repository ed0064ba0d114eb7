"""What every phase of the benchmark gets and gives."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wildgate_perf.bench.plan import Plan
from wildgate_perf.cpu_time import CpuTimes, machine_cpu_s
from wildgate_perf.load_generator import LoadGenerator
from wildgate_perf.loops import LoadPlan, Measured, together
from wildgate_perf.server_parts import available_cores
from wildgate_perf.server_process import ServerProcess, serving
from wildgate_perf.spread import Spread
from wildgate_perf.videos import VIDEOS, bench_videos, large_videos
from wildgate_perf.workloads import Workload

SETTINGS: dict[str, object] = {"cache__max_entries": 0}
"""What differs from the server's defaults: the same videos come again and again, and must be scored again."""


class PhaseFailed(Exception):
    """A phase could not measure what it is there for; the text says why."""


@dataclass(frozen=True)
class Bench:
    """What is measured with: lengths, where videos and logs lie, which models, and where progress is told."""

    plan: Plan
    folder: Path
    repository: Path
    say: Callable[[str], None] = print

    @property
    def video_folder(self) -> Path:
        """Where videos are composed, and from where servers may read them."""
        return self.folder / VIDEOS.name

    @property
    def clients(self) -> int:
        """Closed-loop clients that keep every core busy."""
        return self.plan.clients_per_core * available_cores()

    def videos(self, count: int | None = None) -> list[Path]:
        """The plan's videos of 5 MB, or so many."""
        return bench_videos(self.video_folder, count or self.plan.videos)

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


def all_answered(measured: Measured) -> Measured:
    """The measurement, where every request that counted was answered. Raises PhaseFailed."""
    if failed := [each.failure for each in measured.counted if each.failure]:
        raise PhaseFailed(f"{len(failed)} requests failed, the first with {failed[0]}")
    if not measured.counted:
        raise PhaseFailed(f"no answer came within {measured.seconds:g} s")
    return measured


@dataclass(frozen=True)
class Observed:
    """A loop of the load generator, the processor time of the server meanwhile, and what else the machine did."""

    measured: Measured
    used: CpuTimes
    others: Mapping[str, float]


def observed(cpu_times: Callable[[], CpuTimes], load: Callable[[], Measured]) -> Observed:
    """Runs `load` and watches what it takes, and how many cores others and the host (steal) kept busy meanwhile."""
    began, before, (busy_s, steal_s) = time.perf_counter(), cpu_times(), machine_cpu_s()
    measured = load()
    used, (busy_then_s, steal_then_s) = cpu_times().since(before), machine_cpu_s()
    elapsed_s = time.perf_counter() - began
    others_s = max(0.0, busy_then_s - busy_s - used.total_s - measured.cpu_s)
    others = {"others": round(others_s / elapsed_s, 3), "steal": round((steal_then_s - steal_s) / elapsed_s, 3)}
    return Observed(measured, used, others)


@dataclass(frozen=True)
class Way:
    """One of the ways that take turns: its load generator, workload, clients, and processor time of the server."""

    load: LoadGenerator
    workload: Workload
    clients: int
    cpu_times: Callable[[], CpuTimes] = lambda: CpuTimes({})

    def round(self, warm_up_s: float, seconds: float) -> Observed:
        """A closed loop in which every request was answered. Raises PhaseFailed."""
        plan = LoadPlan(self.clients, warm_up_s, seconds)
        seen = observed(self.cpu_times, lambda: self.load.closed(self.workload, plan))
        all_answered(seen.measured)
        return seen


def per_s(rounds: Iterable[Observed]) -> list[float]:
    """Answers a second in each round."""
    return [each.measured.per_s for each in rounds]


def cpu_ms(rounds: Iterable[Observed]) -> dict[str, float]:
    """Processor milliseconds per answer over all rounds, by kind of process; idle kinds are left out."""
    seconds, answered = Counter[str](), 0
    for each in rounds:
        seconds.update({"load generator": each.measured.cpu_s, **each.used.by_kind})
        answered += each.measured.answered
    return {kind: round(used * 1e3 / answered, 3) for kind, used in seconds.items() if used}


def rounds_as_json(rounds: Mapping[str, Sequence[Observed]]) -> dict[str, Any]:
    """All that the rounds of several ways found, figure by figure and way by way."""
    whole = {way: together([each.measured for each in found]) for way, found in rounds.items()}
    shares = {"p50": 0.5, "p99": 0.99}
    return {
        **{f"{way}_per_s": Spread.of(per_s(found)).as_json() for way, found in rounds.items()},
        "latency_ms": {
            way: {name: round(measured.took_ms(share), 2) for name, share in shares.items()}
            for way, measured in whole.items()
        },
        "stages_ms": {
            way: {
                name: {stage: round(ms, 2) for stage, ms in measured.stages_ms(share).items()}
                for name, share in shares.items()
            }
            for way, measured in whole.items()
        },
        "cpu_ms_per_video": {way: cpu_ms(found) for way, found in rounds.items()},
        "load_generator_core_share": {way: round(measured.core_share, 4) for way, measured in whole.items()},
        "other_load_cores": {way: [each.others for each in found] for way, found in rounds.items()},
    }
