"""What handing a video to a sampling worker costs, and getting a sample back: shared memory against a pipe.

The worker does nothing but answer with a clip of 270 KB, as the sample of a 15 s video of 720x1280 is. Both ways take
turns, some videos each; the figures are medians over the rounds, in milliseconds per video. `pipe` is a pool of
pebble's, where it is installed, with one process that videos are pickled to, as it was done before; `shared` is
`SamplingPool`. Start-up is a worker's processor time until it is ready, memory what it holds then.

    python perf/sampling_handover.py [--rounds N] [--videos N] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import multiprocessing
import os
import time
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Protocol

from sampling_answers import answer
from wildgate_perf.machine_facts import machine_facts
from wildgate_server.media.sampled_video import SampledVideo, VideoLimits
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.sampling.pool import SamplingPool
from wildgate_server.sampling.sampling_settings import SamplingSettings
from wildgate_server.source.content import Content
from wildgate_server.source.local_file import VideoFile

SOURCES: dict[str, Content | VideoFile] = {
    "5 MB": Content(os.urandom(5 << 20)),
    "8 MB": Content(os.urandom(8 << 20)),
    "by URI": VideoFile(Path("/video.mp4")),
}


class Way(Protocol):
    """A way to have a worker process answer for a video."""

    async def sample(self, source: Content | VideoFile) -> SampledVideo: ...

    def close(self) -> None: ...


class Piped:
    """pebble, as the gateway used it."""

    def __init__(self) -> None:
        import pebble

        self._pool = pebble.ProcessPool(
            max_workers=1,
            context=multiprocessing.get_context("spawn"),
            initializer=importlib.import_module,  # the gateway's own initializer was in this module
            initargs=("wildgate_server.sampling.pool",),
        )

    async def sample(self, source: Content | VideoFile) -> SampledVideo:
        limits = VideoLimits(1 << 26, 1 << 26, 600.0)
        future = self._pool.schedule(answer, args=(source, SamplingConfig(8), limits), timeout=10)
        sampled: SampledVideo = await asyncio.wrap_future(future)
        return sampled

    def close(self) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call, unused-ignore]
        self._pool.join()


class Shared:
    """The gateway's pool, with one worker."""

    def __init__(self) -> None:
        limits = VideoLimits(1 << 26, 1 << 26, 600.0)
        self._pool = SamplingPool(SamplingSettings(workers=1), SamplingConfig(8), limits, answer)

    async def sample(self, source: Content | VideoFile) -> SampledVideo:
        return await self._pool.sample(source)

    def close(self) -> None:
        self._pool.close()


def processor_s(process: int) -> float:
    """Processor time of a process, by the clock that clock_getcpuclockid(3) names."""
    return time.clock_gettime((~process << 3) | 2)


def memory_mb(process: int) -> dict[str, float]:
    """What a process holds in memory, and what of it no other can share."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    kilobytes = {
        name: int(value.split()[0])
        for name, _, value in (line.partition(":") for line in lines)
        if "Rss" in name or name == "VmRSS"
    }
    return {"rss_mb": kilobytes["VmRSS"] / 1024, "private_mb": kilobytes["RssAnon"] / 1024}


async def measure(rounds: int, videos: int) -> dict[str, dict[str, float]]:
    """The figures by way and source; `<way>, start` is the worker itself."""
    ways: dict[str, Way] = {"shared": Shared()}
    with suppress(ImportError):
        ways["pipe"] = Piped()
    figures: dict[str, dict[str, float]] = {}
    workers: dict[str, int] = {}
    for name, way in ways.items():
        started = time.perf_counter()
        workers[name] = int((await way.sample(VideoFile(Path("/video.mp4")))).format)
        figures[f"{name}, start"] = {
            "wall_ms": (time.perf_counter() - started) * 1e3,
            "worker_ms": processor_s(workers[name]) * 1e3,
            **memory_mb(workers[name]),
        }
    spent: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    for _ in range(rounds + 1):
        for source_name, source in SOURCES.items():
            for name, way in ways.items():
                before = time.perf_counter(), time.process_time(), processor_s(workers[name])
                for _ in range(videos):
                    await way.sample(source)
                after = time.perf_counter(), time.process_time(), processor_s(workers[name])
                wall, gateway, worker = ((end - start) / videos * 1e3 for start, end in zip(before, after, strict=True))
                spent[name, source_name].append((wall, gateway, worker))
    for (name, source_name), rows in spent.items():
        wall, gateway, worker = (median(column) for column in zip(*rows[1:], strict=True))  # the first round warms up
        figures[f"{name}, {source_name}"] = {"wall_ms": wall, "gateway_ms": gateway, "worker_ms": worker}
    for way in ways.values():
        await asyncio.to_thread(way.close)
    return figures


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--videos", type=int, default=20, help="videos of each way and round")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    machine, measured = machine_facts(), datetime.now(UTC).isoformat(timespec="seconds")
    figures = asyncio.run(measure(arguments.rounds, arguments.videos))
    print(f"{arguments.rounds} interleaved rounds of {arguments.videos} videos, medians; milliseconds per video")
    print(f"  {'':<16} {'wall':>9} {'gateway':>9} {'worker':>9}")
    for name, row in figures.items():
        columns = " ".join(f"{row.get(key, float('nan')):9.2f}" for key in ("wall_ms", "gateway_ms", "worker_ms"))
        memory = f"  {row['rss_mb']:.0f} MB, {row['private_mb']:.0f} MB of it private" if "rss_mb" in row else ""
        print(f"  {name:<16} {columns}{memory}")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        document = {"measured": measured, "machine": machine, "rounds": arguments.rounds, "figures": figures}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
