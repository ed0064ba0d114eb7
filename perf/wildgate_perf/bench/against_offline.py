"""How much of the machine's own limit the full server reaches: videos a second, served over offline.

Offline is a `ScoringLoop`: one process per core, each with the sampler, decoder, model and policy of the server, and
no server, on the same videos. Served is `wildgate serve` (gateway, sampling workers, Triton, its stubs) under a closed
loop from a process of its own, which takes its part of the same cores. `served_over_offline_uri` has the server read
videos of 5 MB itself (`file:`); for `served_over_offline_content` each request carries a video of 8 MB.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from wildgate_perf.bench.phase import SETTINGS, Bench, Bystanders, Findings, Observed, all_answered, observed
from wildgate_perf.load_generator import LoadGenerator
from wildgate_perf.loops import LoadPlan, Measured
from wildgate_perf.offline import OfflineRound, OfflineScorer, ScoringLoop, Videos, total
from wildgate_perf.server_parts import available_cores
from wildgate_perf.server_process import ServerProcess
from wildgate_perf.spread import Spread
from wildgate_perf.workloads import Workload, by_content, by_uri


def uri_over_offline(bench: Bench) -> Findings:
    """Videos of 5 MB that the server reads itself."""
    files = bench.videos()
    uris = [file.as_uri() for file in files]
    return _measure(bench, "served_over_offline_uri", files, files, lambda server: by_uri(server.target, uris))


def content_over_offline(bench: Bench) -> Findings:
    """Videos of 8 MB that come with their requests; offline has them in memory."""
    files = bench.large_videos()
    contents = [file.read_bytes() for file in files]
    key = "served_over_offline_content"
    return _measure(bench, key, files, contents, lambda server: by_content(server.target, contents))


@dataclass
class _Rounds:
    """What came of all rounds."""

    offline: list[OfflineRound] = field(default_factory=list)
    served: list[Observed[Measured]] = field(default_factory=list)
    other_load_cores: dict[str, list[Mapping[str, float]]] = field(
        default_factory=lambda: {"offline": [], "served": []}
    )

    @property
    def ratio(self) -> Spread:
        """Videos/s, served over offline."""
        served = [each.loaded.result.steady_per_s for each in self.served]
        return Spread.ratios(served, [each.per_s for each in self.offline])

    @property
    def answers(self) -> Measured:
        """The answers of all rounds together."""
        return Measured(tuple(answer for each in self.served for answer in each.loaded.result.answers), (), 1.0)

    def served_cpu_ms(self) -> dict[str, float]:
        """Processor milliseconds per video, by kind of process; idle kinds are left out."""
        seconds = Counter({"load generator": sum(each.loaded.cpu_s for each in self.served)})
        for each in self.served:
            seconds.update(each.used.by_kind)
        answered = sum(each.loaded.answered for each in self.served)
        return {kind: round(used * 1e3 / answered, 2) for kind, used in seconds.items() if used}


def _measure(
    bench: Bench, key: str, files: Sequence[Path], sources: Videos, workload_for: Callable[[ServerProcess], Workload]
) -> Findings:
    plan, budget, rounds = bench.plan, bench.budget(bench.plan.offline_budget_s), _Rounds()
    with ExitStack() as stack:
        offline = stack.enter_context(ScoringLoop(partial(OfflineScorer, bench.repository), sources, available_cores()))
        load = stack.enter_context(LoadGenerator())
        server = stack.enter_context(bench.serving(key, **SETTINGS))
        workload = workload_for(server)

        def served_round() -> None:
            load_plan = LoadPlan(bench.clients, plan.warm_up_s, plan.offline_round_s)
            seen = observed(server.cpu_times, lambda: load.closed(workload, load_plan))
            all_answered(seen.loaded)
            rounds.served.append(seen)
            rounds.other_load_cores["served"].append(seen.others)

        def offline_round() -> None:
            offline.score(plan.warm_up_s)  # as the served one does in each of its rounds; does not count
            watch = Bystanders()
            rounds.offline.append(offline.score(plan.offline_round_s))
            rounds.other_load_cores["offline"].append(watch.cores(rounds.offline[-1].cpu_s))

        load.closed(workload, LoadPlan(bench.clients, 0.0, plan.warm_up_s))
        offline.score(plan.warm_up_s)
        for number in budget.rounds(plan.offline_rounds):
            for turn in (offline_round, served_round) if number % 2 == 0 else (served_round, offline_round):
                turn()
            bench.say(
                f"{key}: round {number + 1}: {rounds.served[-1].loaded.result.steady_per_s:.2f} videos/s served, "
                f"{rounds.offline[-1].per_s:.2f} offline"
            )
    return Findings({key: rounds.ratio.median}, {key: _details(rounds, bench, files)})


def _details(rounds: _Rounds, bench: Bench, files: Sequence[Path]) -> dict[str, Any]:
    answers, shares = rounds.answers, {"p50": 0.5, "p99": 0.99}
    cpu_ms = {
        "served": rounds.served_cpu_ms(),
        "offline": {part: round(ms, 2) for part, ms in total(rounds.offline).cpu_ms().items()},
    }
    return {
        "ratio": rounds.ratio.as_json(),
        # What the ratio would be if both kept every core busy: whatever else runs takes less part in this one.
        "ratio_by_processor_time": round(sum(cpu_ms["offline"].values()) / sum(cpu_ms["served"].values()), 4),
        "served_per_s": Spread.of(each.loaded.result.steady_per_s for each in rounds.served).as_json(),
        "offline_per_s": Spread.of(each.per_s for each in rounds.offline).as_json(),
        "latency_ms": {name: round(answers.took_ms(share), 2) for name, share in shares.items()},
        "stages_ms": {
            name: {stage: round(ms, 2) for stage, ms in answers.stages_ms(share).items()}
            for name, share in shares.items()
        },
        "cpu_ms_per_video": cpu_ms,
        "load_generator_core_share": Spread.of(each.loaded.core_share for each in rounds.served).as_json(),
        "other_load_cores": rounds.other_load_cores,
        "videos": {"count": len(files), "bytes": round(sum(file.stat().st_size for file in files) / len(files))},
        "askers": bench.clients,
        "round_s": bench.plan.offline_round_s,
        "settings": SETTINGS,
    }
