"""How much of the machine's own limit the full server reaches: videos a second, served over offline.

Offline is one process per core, each with the sampler, decoder, model and policy of the server, and no server, on the
same videos. Served is `wildgate serve` (gateway, sampling workers, Triton, its stubs) under a closed loop from a
process of its own, which takes its part of the same cores. `served_over_offline_uri` has the server read videos of 5 MB
itself (`file:`); for `served_over_offline_content` each request carries a video of 8 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from wildgate_perf.bench.phase import SETTINGS, Bench, Findings, Observed, Way, cpu_ms, per_s, rounds_as_json
from wildgate_perf.load_generator import LoadGenerator
from wildgate_perf.loops import LoadPlan
from wildgate_perf.offline import Offline
from wildgate_perf.server_parts import available_cores
from wildgate_perf.spread import Spread
from wildgate_perf.workloads import Workload, by_content, by_uri


def uri_over_offline(bench: Bench) -> Findings:
    """Videos of 5 MB that the server reads itself."""
    files = bench.videos()
    uris = [file.as_uri() for file in files]
    return _measure(bench, "served_over_offline_uri", files, files, lambda target: by_uri(target, uris))


def content_over_offline(bench: Bench) -> Findings:
    """Videos of 8 MB that come with their requests; offline has them in memory."""
    files = bench.large_videos()
    contents = [file.read_bytes() for file in files]
    key = "served_over_offline_content"
    return _measure(bench, key, files, contents, lambda target: by_content(target, contents))


def _measure(
    bench: Bench,
    key: str,
    files: Sequence[Path],
    sources: Sequence[bytes | Path],
    workload_for: Callable[[str], Workload],
) -> Findings:
    plan = bench.plan
    rounds: dict[str, list[Observed]] = {"offline": [], "served": []}
    with (
        LoadGenerator(available_cores()) as cores,
        LoadGenerator() as load,
        bench.serving(key, **SETTINGS) as server,
    ):
        ways = {
            "offline": Way(cores, Offline(bench.repository, tuple(sources)), 1),
            "served": Way(load, workload_for(server.target), bench.clients, server.cpu_times),
        }
        for way in ways.values():
            way.load.closed(way.workload, LoadPlan(way.clients, 0.0, plan.warm_up_s))
        for number in range(plan.offline_rounds):
            for name in ways if number % 2 == 0 else reversed(ways):
                rounds[name].append(ways[name].round(plan.warm_up_s, plan.offline_round_s))
            speeds = {name: per_s(found)[-1] for name, found in rounds.items()}
            bench.say(
                f"{key}: round {number + 1}: {speeds['served']:.2f} videos/s served, {speeds['offline']:.2f} offline"
            )
    ratio = Spread.ratios(per_s(rounds["served"]), per_s(rounds["offline"]))
    cpu = {name: sum(cpu_ms(found).values()) for name, found in rounds.items()}
    details = {
        "ratio": ratio.as_json(),
        # What the ratio would be if both kept every core busy: whatever else runs takes less part in this one.
        "ratio_by_processor_time": round(cpu["offline"] / cpu["served"], 4),
        **rounds_as_json(rounds),
        "videos": {"count": len(files), "bytes": round(sum(file.stat().st_size for file in files) / len(files))},
        "clients": bench.clients,
        "round_s": plan.offline_round_s,
        "settings": SETTINGS,
    }
    return Findings({key: ratio.median}, {key: details})
