"""How much of the machine's own limit the full server reaches: videos a second, served over offline.

Offline is a `ScoringLoop`: one process per core, each with the sampler, decoder, model and policy of the server, and
no server, on the same videos. Served is `wildgate serve` (gateway, sampling workers, Triton, its stubs) under a closed
loop from a process of its own, which takes its part of the same cores. `served_over_offline_uri` has the server read
videos of 5 MB itself (`file:`); for `served_over_offline_content` each request carries a video of 8 MB.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from wildgate_perf.bench.phase import Bench, Bystanders, Findings, all_answered
from wildgate_perf.cpu_time import CpuTimes
from wildgate_perf.load_generator import LoadGenerator
from wildgate_perf.loops import LoadPlan, Measured
from wildgate_perf.offline import OfflineRound, OfflineScorer, ScoringLoop, Videos, total
from wildgate_perf.server_parts import available_cores
from wildgate_perf.server_process import ServerProcess, serving
from wildgate_perf.spread import Spread
from wildgate_perf.workloads import Workload, by_content, by_uri

SETTINGS: dict[str, object] = {"cache__max_entries": 0}
"""What differs from the server's defaults: the same videos come again and again, and are to be scored again."""


@dataclass
class _Served:
    """What the server and its callers did in all rounds."""

    measured: list[Measured] = field(default_factory=list)
    server_cpu: list[CpuTimes] = field(default_factory=list)
    client_cpu_s: float = 0.0
    client_share: list[float] = field(default_factory=list)
    answered: int = 0

    def cpu_ms(self) -> dict[str, float]:
        """Processor milliseconds for each video, by kind of process; idle kinds are left out."""
        seconds: dict[str, float] = {"load generator": self.client_cpu_s}
        for times in self.server_cpu:
            for kind, used in times.by_kind.items():
                seconds[kind] = seconds.get(kind, 0.0) + used
        return {kind: round(s * 1e3 / self.answered, 2) for kind, s in seconds.items() if s}

    def stages_ms(self, share: float) -> dict[str, float]:
        """Stage times of all rounds' answers."""
        answers = tuple(answer for measured in self.measured for answer in measured.answers)
        return {name: round(ms, 2) for name, ms in Measured(answers, (), 1.0).stages_ms(share).items()}

    def took_ms(self, share: float) -> float:
        """Latencies of all rounds' answers, as the callers saw them."""
        answers = tuple(answer for measured in self.measured for answer in measured.answers)
        return round(Measured(answers, (), 1.0).took_ms(share), 2)


def uri_over_offline(bench: Bench) -> Findings:
    """Videos of 5 MB that the server reads itself."""
    files = bench.videos()
    return _measure(
        bench,
        "served_over_offline_uri",
        files,
        files,
        lambda server: by_uri(server.target, [file.as_uri() for file in files]),
    )


def content_over_offline(bench: Bench) -> Findings:
    """Videos of 8 MB that come with their requests; offline has them in memory."""
    files = bench.large_videos()
    contents = [file.read_bytes() for file in files]
    return _measure(
        bench,
        "served_over_offline_content",
        files,
        contents,
        lambda server: by_content(server.target, contents),
    )


def _measure(
    bench: Bench,
    key: str,
    files: Sequence[Path],
    sources: Videos,
    workload_for: Callable[[ServerProcess], Workload],
) -> Findings:
    plan, budget = bench.plan, bench.budget(bench.plan.offline_budget_s)
    offline_rounds: list[OfflineRound] = []
    served = _Served()
    bystanders: dict[str, list[dict[str, float]]] = {"offline": [], "served": []}
    with ExitStack() as stack:
        offline = stack.enter_context(ScoringLoop(partial(OfflineScorer, bench.repository), sources, available_cores()))
        load = stack.enter_context(LoadGenerator())
        server = stack.enter_context(_server(bench, key))
        workload = workload_for(server)
        load.closed(workload, LoadPlan(bench.clients, 0.0, plan.warm_up_s))
        offline.score(plan.warm_up_s)
        for number in budget.rounds(plan.offline_rounds):
            for turn in ("offline", "served") if number % 2 == 0 else ("served", "offline"):
                if turn == "offline":
                    offline.score(plan.warm_up_s)  # as the served one does in each of its rounds; does not count
                    watch = Bystanders(time.perf_counter)
                    offline_rounds.append(offline.score(plan.offline_round_s))
                    bystanders[turn].append(watch.cores(offline_rounds[-1].cpu_s))
                else:
                    bystanders[turn].append(_serve_round(bench, server, load, workload, served))
            bench.say(
                f"{key}: round {number + 1}: {served.measured[-1].steady_per_s:.2f} videos/s served, "
                f"{offline_rounds[-1].per_s:.2f} offline"
            )
    ratio = Spread.ratios([each.steady_per_s for each in served.measured], [each.per_s for each in offline_rounds])
    return Findings({key: ratio.median}, {key: _details(ratio, offline_rounds, served, bystanders, bench, files)})


def _server(bench: Bench, key: str) -> AbstractContextManager[ServerProcess]:
    return serving(
        log_folder=bench.logs(key),
        source__file_roots=[bench.video_folder],
        backend__model_repository=bench.repository,
        **SETTINGS,
    )


def _serve_round(
    bench: Bench, server: ServerProcess, load: LoadGenerator, workload: Workload, served: _Served
) -> dict[str, float]:
    watch, before = Bystanders(time.perf_counter), server.cpu_times()
    loaded = load.closed(workload, LoadPlan(bench.clients, bench.plan.warm_up_s, bench.plan.offline_round_s))
    used = server.cpu_times().since(before)
    served.measured.append(all_answered(loaded))
    served.server_cpu.append(used)
    served.client_cpu_s += loaded.cpu_s
    served.client_share.append(loaded.core_share)
    served.answered += loaded.answered
    return watch.cores(used.total_s + loaded.cpu_s)


def _details(
    ratio: Spread,
    offline_rounds: list[OfflineRound],
    served: _Served,
    bystanders: dict[str, list[dict[str, float]]],
    bench: Bench,
    files: Sequence[Path],
) -> dict[str, Any]:
    sizes = [file.stat().st_size for file in files]
    cpu_ms = {
        "served": served.cpu_ms(),
        "offline": {part: round(ms, 2) for part, ms in total(offline_rounds).cpu_ms().items()},
    }
    return {
        "ratio": ratio.as_json(),
        # What the ratio would be if both kept every core busy: whatever else runs takes less part in this one.
        "ratio_by_processor_time": round(sum(cpu_ms["offline"].values()) / sum(cpu_ms["served"].values()), 4),
        "served_per_s": Spread.of(each.steady_per_s for each in served.measured).as_json(),
        "offline_per_s": Spread.of(each.per_s for each in offline_rounds).as_json(),
        "latency_ms": {"p50": served.took_ms(0.5), "p99": served.took_ms(0.99)},
        "stages_ms": {"p50": served.stages_ms(0.5), "p99": served.stages_ms(0.99)},
        "cpu_ms_per_video": cpu_ms,
        "load_generator_core_share": Spread.of(served.client_share).as_json(),
        "other_load_cores": bystanders,
        "videos": {"count": len(files), "bytes": round(sum(sizes) / len(sizes))},
        "askers": bench.clients,
        "round_s": bench.plan.offline_round_s,
        "settings": SETTINGS,
    }
