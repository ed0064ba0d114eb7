"""What the gateway costs: the same client load through it, and straight to its Triton, whose models do nothing.

The models are null models (`wildgate_perf.null_models`): tensors of equal shapes, answered at once, so that what is
measured is the way there and back. One Triton answers both ways; the gateway asks it as an external one. Both ways are
asked about the same videos by as many clients, in rounds that take turns. There are three readings:

- `sampled`, the headline: videos of 5 MB in files. Through the gateway by `file:` URI; straight, the caller does with
  them what Triton's models ask for: it samples each video itself, with the gateway's own sampler in as many worker
  processes, and sends the clip. What is left is the gateway: one more hop, batching, policy, verdict.
- `whole`: the same videos as bytes. Through the gateway they are sampled, and a twentieth goes on to Triton; straight,
  they are CLIP as they are, which null models take and real ones would have to read whole.
- `cut`: clips that were sampled beforehand (0.2 MB). Straight, that is what the gateway itself asks Triton for; through
  the gateway they are short videos that are sampled once more.

The last two hold the gateway's sampling, 5 ms and more, against nothing at all.

`gateway_over_direct` is requests/s of a closed loop at saturation; `gateway_added_p50_ms` is the difference of the
medians of one client that takes turns between the two with every request (p99 beside it).
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from wildgate_perf.bench.phase import SETTINGS, Bench, Findings, Observed, Way, all_answered, per_s, rounds_as_json
from wildgate_perf.cpu_time import CpuTimes, read_cpu_times
from wildgate_perf.load_generator import LoadGenerator
from wildgate_perf.loops import LoadPlan, percentile
from wildgate_perf.null_models import null_repository
from wildgate_perf.server_parts import BackendSettings, EmbeddedTriton, Sampler
from wildgate_perf.spread import Spread
from wildgate_perf.workloads import CallerSampled, InTurns, Workload, by_content, by_uri, straight_to_triton
from wildgate_server.repository.manifest import load_manifest

_Both = tuple[Workload, Workload]
_WAYS = ("gateway", "direct")


def gateway_over_direct(bench: Bench) -> Findings:
    """All readings of both figures."""
    return asyncio.run(_with_triton(bench))


async def _with_triton(bench: Bench) -> Findings:
    with tempfile.TemporaryDirectory(prefix="wildgate-null-") as scratch:
        repository = await asyncio.to_thread(null_repository, bench.repository, Path(scratch, "models"))
        logs = bench.logs("gateway_over_direct") / "null-triton"
        async with EmbeddedTriton(BackendSettings(model_repository=repository, log_dir=logs)) as triton:
            # In a thread: the loop here must go on looking after Triton.
            return await asyncio.to_thread(_measure, bench, repository, triton.endpoints.grpc)


def _measure(bench: Bench, repository: Path, triton: str) -> Findings:
    settings = SETTINGS | {"backend__target": triton, "backend__model_repository": repository}
    with LoadGenerator() as load, bench.serving("gateway_over_direct", **settings) as server:
        readings = {
            name: _Reading(bench, load, ways) for name, ways in _workloads(bench, repository, server.target, triton)
        }
        for number in range(bench.plan.direct_rounds):
            for name, reading in readings.items():
                reading.round(number)
                bench.say(f"gateway_over_direct ({name}): round {number + 1}: {reading}")
    details = {name: reading.as_json() for name, reading in readings.items()}
    return Findings(
        {
            "gateway_over_direct": readings["sampled"].ratio.median,
            **{f"gateway_over_direct_{name}": readings[name].ratio.median for name in ("whole", "cut")},
            "gateway_added_p50_ms": Spread.of(readings["sampled"].added_ms[0.5]).median,
        },
        {"gateway_over_direct": {**details, "clients": bench.clients, "settings": SETTINGS}},
    )


def _workloads(
    bench: Bench, repository: Path, gateway: str, triton: str
) -> list[tuple[str, tuple[Workload, Workload]]]:
    """Both ways of each reading."""
    files = [file.resolve() for file in bench.videos()]
    sampler, whole = Sampler(repository), [file.read_bytes() for file in files]
    nothing = (0,) * load_manifest(repository).frames_per_window  # null models look at no frame
    cut = []
    for content in whole:
        track = sampler.sample(content).default_track
        cut.append((bytes(track.windows[0].clip), track.windows[0].frame_index, track.display.row))
    by_file = by_uri(gateway, [file.as_uri() for file in files])
    return [
        ("sampled", (by_file, CallerSampled(triton, tuple(files), repository))),
        (
            "whole",
            (by_content(gateway, whole), straight_to_triton(triton, [(each, nothing, (0, 0, 1, 1)) for each in whole])),
        ),
        ("cut", (by_content(gateway, [clip for clip, _, _ in cut]), straight_to_triton(triton, cut))),
    ]


class _Reading:
    """One kind of video, both ways."""

    def __init__(self, bench: Bench, load: LoadGenerator, workloads: _Both) -> None:
        def cpu_times() -> CpuTimes:
            # Triton is this process's own child, and so are the gateway and the load generator.
            children = psutil.Process().children(recursive=True)
            return read_cpu_times(process for process in children if process.pid not in load.pids)

        self._plan, self._load, self._turns = bench.plan, load, InTurns(workloads)
        pairs = zip(_WAYS, workloads, strict=True)
        self._ways = {name: Way(load, workload, bench.clients, cpu_times) for name, workload in pairs}
        self._rounds: dict[str, list[Observed]] = {name: [] for name in _WAYS}
        self.added_ms: dict[float, list[float]] = {0.5: [], 0.99: []}
        for workload in workloads:
            load.closed(workload, LoadPlan(bench.clients, 0.0, bench.plan.warm_up_s / 2))

    def round(self, number: int) -> None:
        """Both ways at saturation, then both in turns without any other load."""
        for name in _WAYS if number % 2 == 0 else reversed(_WAYS):
            self._rounds[name].append(self._ways[name].round(self._plan.warm_up_s / 2, self._plan.direct_round_s))
        time.sleep(0.1)
        alone = all_answered(self._load.closed(self._turns, LoadPlan(1, 0.0, self._plan.added_s)))
        took_ms = [answer.took_ms for answer in alone.answers[2:]]  # the first turn warms up
        for share, added in self.added_ms.items():
            added.append(percentile(took_ms[::2], share) - percentile(took_ms[1::2], share))

    @property
    def ratio(self) -> Spread:
        """Requests/s through the gateway over straight ones."""
        return Spread.ratios(*(per_s(self._rounds[name]) for name in _WAYS))

    def __str__(self) -> str:
        gateway, direct = (per_s(self._rounds[name])[-1] for name in _WAYS)
        added_ms = self.added_ms[0.5][-1]
        return f"{gateway:.1f} requests/s through the gateway, {direct:.1f} straight, {added_ms:+.2f} ms"

    def as_json(self) -> dict[str, Any]:
        """All that was measured."""
        return {
            "ratio": self.ratio.as_json(),
            **{f"added_p{share * 100:g}_ms": Spread.of(added).as_json() for share, added in self.added_ms.items()},
            **rounds_as_json(self._rounds),
        }
