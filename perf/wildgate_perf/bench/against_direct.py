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
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from wildgate_perf.bench.phase import SETTINGS, Bench, Findings, PhaseFailed, all_answered, observed
from wildgate_perf.cpu_time import CpuTimes, descendants, read_cpu_times
from wildgate_perf.load_generator import Loaded, LoadGenerator
from wildgate_perf.loops import LoadPlan, Measured
from wildgate_perf.null_models import null_repository
from wildgate_perf.server_parts import BackendSettings, EmbeddedTriton, Sampler
from wildgate_perf.spread import Spread
from wildgate_perf.workloads import CallerSampled, Requests, TritonRow, Workload, by_content, by_uri, straight_to_triton
from wildgate_server.repository.manifest import load_manifest

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
    budget = bench.budget(bench.plan.direct_budget_s)
    readings: dict[str, _Reading] = {}
    with ExitStack() as stack:
        load = stack.enter_context(LoadGenerator())
        settings = SETTINGS | {"backend__target": triton, "backend__model_repository": repository}
        server = stack.enter_context(bench.serving("gateway_over_direct", **settings))

        def cpu_times() -> CpuTimes:
            # Triton is this process's own child, and so are the gateway and the load generator.
            return read_cpu_times(process for process in descendants() if process.pid not in load.pids)

        files = [file.resolve() for file in bench.videos()]
        uris = by_uri(server.target, [file.as_uri() for file in files])
        readings["sampled"] = _Reading(bench, load, cpu_times, uris, CallerSampled(triton, tuple(files), repository))
        for name, (clips, rows) in _clips(bench, repository).items():
            gateway, direct = by_content(server.target, clips), straight_to_triton(triton, rows)
            readings[name] = _Reading(bench, load, cpu_times, gateway, direct)
        for reading in readings.values():
            reading.warm_up()
        for number in budget.rounds(bench.plan.direct_rounds):
            for name, reading in readings.items():
                reading.round(number)
                bench.say(f"gateway_over_direct ({name}): round {number + 1}: {reading.last()}")
    headline = readings["sampled"]
    return Findings(
        {
            "gateway_over_direct": headline.ratio.median,
            **{f"gateway_over_direct_{name}": readings[name].ratio.median for name in ("whole", "cut")},
            "gateway_added_p50_ms": headline.added(0.5).median,
        },
        {
            "gateway_over_direct": {
                **{name: reading.as_json() for name, reading in readings.items()},
                "askers": bench.clients,
                "settings": SETTINGS,
            }
        },
    )


def _clips(bench: Bench, repository: Path) -> dict[str, tuple[list[bytes], list[TritonRow]]]:
    """For each reading, the media files for the gateway, and the same bytes with what Triton is to be told of them."""
    sampler = Sampler(repository)
    nothing = (0,) * load_manifest(repository).frames_per_window  # null models look at no frame
    whole = [file.read_bytes() for file in bench.videos()]
    cut, rows = [], []
    for content in whole:
        video = sampler.sample(content)
        window = video.windows[0]
        clip = bytes(window.clip)
        cut.append(clip)
        rows.append((clip, window.frame_index, video.rotation))
    return {"whole": (whole, [(content, nothing, 0) for content in whole]), "cut": (cut, rows)}


class _Reading:
    """One kind of clips, both ways."""

    def __init__(
        self,
        bench: Bench,
        load: LoadGenerator,
        cpu_times: Callable[[], CpuTimes],
        gateway: Requests,
        direct: Workload,
    ) -> None:
        self._plan, self._load, self._cpu_times = bench.plan, load, cpu_times
        self._ways: dict[str, Workload] = {"gateway": gateway, "direct": direct}
        self._request_bytes = round(sum(map(len, gateway.requests)) / len(gateway.requests))
        self._clients = bench.clients
        self._saturated: dict[str, list[Loaded[Measured]]] = {way: [] for way in _WAYS}
        self._alone: list[list[Measured]] = []
        self._cpu_ms: dict[str, list[dict[str, float]]] = {way: [] for way in _WAYS}

    def warm_up(self) -> None:
        """Both ways, for a while that does not count."""
        for way in _WAYS:
            self._load.closed(self._ways[way], LoadPlan(self._clients, 0.0, self._plan.warm_up_s / 2))

    def round(self, number: int) -> None:
        """Both ways at saturation, then both in turns without any other load."""
        plan = LoadPlan(self._clients, self._plan.warm_up_s / 2, self._plan.direct_round_s)
        for way in _WAYS if number % 2 == 0 else reversed(_WAYS):
            seen = observed(self._cpu_times, partial(self._load.closed, self._ways[way], plan))
            all_answered(seen.loaded)
            self._cpu_ms[way].append(
                {"load generator": seen.loaded.cpu_s * 1e3 / seen.loaded.answered, **seen.cpu_ms()}
            )
            self._saturated[way].append(seen.loaded)
        time.sleep(0.1)
        alone = self._load.alternating([self._ways[way] for way in _WAYS], self._plan.added_s).result
        for way, measured in zip(_WAYS, alone, strict=True):
            if measured.failures:
                raise PhaseFailed(f"{way}: {measured.failures[0]}")
        self._alone.append(alone)

    def last(self) -> str:
        """The last round in words."""
        gateway, direct = (self._saturated[way][-1].result.steady_per_s for way in _WAYS)
        return f"{gateway:.1f} requests/s through the gateway, {direct:.1f} straight, {self._added(-1, 0.5):+.2f} ms"

    @property
    def ratio(self) -> Spread:
        """Requests/s through the gateway over straight ones."""
        return Spread.ratios(*([each.result.steady_per_s for each in self._saturated[way]] for way in _WAYS))

    def added(self, share: float) -> Spread:
        """Milliseconds that the gateway adds at a percentile, round by round."""
        return Spread.of(self._added(number, share) for number in range(len(self._alone)))

    def _added(self, number: int, share: float) -> float:
        gateway, direct = self._alone[number]
        return gateway.took_ms(share) - direct.took_ms(share)

    def as_json(self) -> dict[str, Any]:
        """All that was measured."""
        return {
            "bytes": self._request_bytes,
            "ratio": self.ratio.as_json(),
            "added_p50_ms": self.added(0.5).as_json(),
            "added_p99_ms": self.added(0.99).as_json(),
            **{
                f"{way}_per_s": Spread.of(e.result.steady_per_s for e in self._saturated[way]).as_json()
                for way in _WAYS
            },
            **{
                f"{way}_alone_p50_ms": Spread.of(each[place].took_ms(0.5) for each in self._alone).as_json()
                for place, way in enumerate(_WAYS)
            },
            "gateway_stages_alone_ms": {name: round(ms, 3) for name, ms in self._alone[-1][0].stages_ms(0.5).items()},
            "cpu_ms_per_request": {way: _medians(self._cpu_ms[way]) for way in _WAYS},
            "load_generator_core_share": {
                way: Spread.of(each.core_share for each in self._saturated[way]).as_json() for way in _WAYS
            },
        }


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    kinds = dict.fromkeys(kind for each in rounds for kind, ms in each.items() if ms)
    return {kind: round(Spread.of(each.get(kind, 0.0) for each in rounds).median, 3) for kind in kinds}
