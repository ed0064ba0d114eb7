"""What an identical video costs: processor time of all the server's processes, of a cached verdict over a first one.

A first video is one that the server has never seen: the 5 MB videos again and again, each time with a few other bytes
in a box of padding at the end, so that the work is the same and the digest another. Then the same videos are asked for
again, by their digest alone (the headline: what a caller who knows digests pays) and by sending the whole content.
"""

from __future__ import annotations

from typing import Any

from blake3 import blake3

from wildgate_perf.bench.phase import Bench, Findings, all_answered, observed
from wildgate_perf.load_generator import LoadGenerator
from wildgate_perf.load_test.videos import Video, relabelled
from wildgate_perf.loops import LoadPlan
from wildgate_perf.server_process import ServerProcess
from wildgate_perf.workloads import Requests, by_content, by_digest

_CLIENTS = 4
_LONGEST_S = 120.0  # of asking for each first video once


def cached_over_first(bench: Bench) -> Findings:
    """The cost by digest over that of first videos; by content beside."""
    videos = [Video(file.name, file.read_bytes()) for file in bench.videos()]
    plan = bench.plan
    firsts = [relabelled(videos[number % len(videos)], number.to_bytes(16)) for number in range(plan.cached_firsts)]
    digests = [f"blake3:{blake3(content).hexdigest()}" for content in firsts]
    with bench.serving("cached_over_first") as server, LoadGenerator() as load:
        warm_up = [relabelled(videos[0], (len(firsts) + number).to_bytes(16)) for number in range(_CLIENTS)]
        _asked(load, server, by_content(server.target, warm_up), requests=len(warm_up))
        first = _asked(load, server, by_content(server.target, firsts), requests=len(firsts))
        cached = {
            "by_digest": _asked(load, server, by_digest(server.target, digests), plan.cached_s),
            "by_content": _asked(load, server, by_content(server.target, firsts, cached=True), plan.cached_s),
        }
    ratios = {way: sum(cost["cpu_ms"].values()) / sum(first["cpu_ms"].values()) for way, cost in cached.items()}
    bench.say(f"cached_over_first: {ratios['by_digest']:.5f} by digest, {ratios['by_content']:.4f} by content")
    details = {"ratios": ratios, "first": {"videos": len(firsts), **first}, **cached, "settings": {}}
    return Findings({"cached_over_first": ratios["by_digest"]}, {"cached_over_first": details})


def _asked(
    load: LoadGenerator,
    server: ServerProcess,
    workload: Requests,
    seconds: float = _LONGEST_S,
    requests: int | None = None,
) -> dict[str, Any]:
    """Latency of a closed loop, and processor milliseconds for each video by kind of process."""
    plan = LoadPlan(_CLIENTS, 0.0, seconds, requests)
    seen = observed(server.cpu_times, lambda: load.closed(workload, plan))
    measured = all_answered(seen.measured)
    return {
        "p50_ms": round(measured.took_ms(0.5), 3),
        "p99_ms": round(measured.took_ms(0.99), 3),
        "cpu_ms": {kind: seconds * 1e3 / measured.answered for kind, seconds in seen.used.by_kind.items()},
    }
