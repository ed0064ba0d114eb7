"""The model against runs that are made for it: one node and two, Poisson arrivals, each on a share of the cores.

A node is a whole `wildgate serve` with a Triton of its own, held to half of the machine's cores. What a video takes
alone, and the peak of one node and of two at once, which share what a machine has besides cores, are measured, and are
all that the model is told. The loads that follow are new to it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from wildgate_perf.bench.phase import SETTINGS, all_answered
from wildgate_perf.capacity.check import Compared, compared
from wildgate_perf.capacity.profile import CapacityError, LoadPoint, Peaks, Profile
from wildgate_perf.load_generator import LoadGenerator
from wildgate_perf.loops import LoadPlan, Measured
from wildgate_perf.machine_facts import machine_facts
from wildgate_perf.results import RESULTS, write
from wildgate_perf.server_process import ServerProcess, serving
from wildgate_perf.videos import bench_videos
from wildgate_perf.workloads import InTurns, Workload, by_uri

RUNS = ((1, 0.5), (1, 0.75), (2, 0.75))
"""Nodes, and the share of their peak that is offered."""
_CLIENTS_A_CORE = 4


def measure_runs(seconds: float, say: Callable[[str], None] = print) -> list[Compared]:
    """Makes the runs, each for so many seconds, and writes `capacity.json`. Raises `CapacityError`."""
    cores = sorted(os.sched_getaffinity(0))
    half = len(cores) // 2
    if not half:
        raise CapacityError("two nodes need two cores")
    with tempfile.TemporaryDirectory(prefix="wildgate-capacity-") as folder, ExitStack() as stack:
        videos = bench_videos(Path(folder))
        uris = [video.as_uri() for video in videos]

        def node(number: int) -> ServerProcess:
            with _held_to(set(cores[number * half : (number + 1) * half])):
                logs = Path(folder) / f"node-{number}"
                return stack.enter_context(serving(log_folder=logs, source__file_roots=[folder], **SETTINGS))

        targets = [by_uri(node(number).target, uris) for number in range(2)]
        profile, rows = compare_nodes(targets, half, seconds, say)
    found = {"machine": machine_facts(("grpcio", "simpy")), "seconds": seconds, "rows": [asdict(row) for row in rows]}
    write(RESULTS / "capacity.json", {**found, "profile": profile.model_dump()})
    return rows


def compare_nodes(
    nodes: Sequence[Workload],
    cores: int,
    seconds: float,
    say: Callable[[str], None] = print,
    warm_up_s: float = 3.0,
) -> tuple[Profile, list[Compared]]:
    """Measures the nodes, then the runs on one or all of them; the profile, of one, has the runs as its points."""
    among = {1: nodes[0], len(nodes): InTurns(tuple(nodes))}
    profiles, rows, points = {}, [], []
    with LoadGenerator() as load:
        load.closed(among[len(nodes)], LoadPlan(len(nodes), 0.0, warm_up_s))
        alone = all_answered(load.closed(nodes[0], LoadPlan(1, warm_up_s, seconds / 3)))
        say(f"a video alone: {alone.took_ms(0.5):.0f} ms")
        for count, workload in among.items():
            plan = LoadPlan(_CLIENTS_A_CORE * cores * count, warm_up_s, seconds / 2)
            peak = Peaks(uri=all_answered(load.closed(workload, plan)).per_s / count)
            profiles[count] = Profile(cores=cores, unloaded_ms=alone.took_ms(0.5), peak_per_s=peak)
            say(f"{count} at once: {peak.uri:.2f} videos/s at most, each")
        for count, share in RUNS:
            rate = share * count * profiles[count].curve_peak_per_s
            measured = all_answered(load.open(among[count], rate, seconds, "poisson", warm_up_s=warm_up_s))
            points.append(_point(measured, count))
            rows.append(compared(profiles[count], points[-1]))
            say(f"{rows[-1].about}: p50 {points[-1].p50_ms:.0f} ms, p99 {points[-1].p99_ms:.0f} ms")
    return profiles[1].model_copy(update={"points": tuple(points)}), rows


def _point(measured: Measured, nodes: int) -> LoadPoint:
    return LoadPoint(
        offered_per_s=len(measured.counted) / measured.seconds,
        answered_per_s=measured.good_per_s(),
        p50_ms=measured.took_ms(0.5),
        p99_ms=measured.took_ms(0.99),
        arrivals="poisson",
        nodes=nodes,
    )


@contextmanager
def _held_to(cores: set[int]) -> Iterator[None]:
    """Processes that are started meanwhile run on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
