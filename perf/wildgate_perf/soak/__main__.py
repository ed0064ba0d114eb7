"""`make soak`: asks a gateway for as long as it takes to see a leak, with bursts, and says what it held meanwhile."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib import pyplot
from matplotlib.figure import Figure

from wildgate_client import Content, ScoringClient, ScoringError, Source
from wildgate_perf.bench.picture import STYLE
from wildgate_perf.chaos.callers import Callers, calling
from wildgate_perf.machine_facts import machine_facts
from wildgate_perf.results import RESULTS
from wildgate_perf.server_process import COMMAND, ServerProcess, running
from wildgate_perf.soak.holdings import Growth, Moment, growths, moment

__all__ = ["LEAKY", "Soaked", "soak"]

LEAKY = (sys.executable, "-m", "wildgate_perf.soak.leaky")
"""The command of a server that leaks."""

_SAMPLES = Path(__file__).resolve().parents[3] / "samples"
_CLIENTS = 3
_CACHED = 4  # fewer than there are videos: each is scored anew, and the cache is written all the time
_SETTLED = 0.2  # of the time: caches and pools are filled by then
_MOMENTS = 90
_BURST = 64  # videos at once, each padded to
_BURST_BYTES = 8 << 20
_BURST_AT, _BURST_S, _GIVEN_BACK_BY = 0.5, 0.05, 0.7  # of the time
_GIVEN_BACK_MIB = 48.0  # that the gateway may keep of a burst


@dataclass
class Soaked:
    """What was held when, `settled_s` and `burst_s` in monotonic seconds, and how requests ended."""

    moments: list[Moment] = field(default_factory=list)
    settled_s: float = 0.0
    burst_s: tuple[float, float] = (0.0, 0.0)
    callers: Callers = field(default_factory=Callers)

    @property
    def growths(self) -> list[Growth]:
        """How all grew while callers asked as usual."""
        first, last = self.burst_s
        usual = [each for each in self.moments if each.at_s >= self.settled_s and not first <= each.at_s <= last]
        return growths(usual)

    @property
    def leaks(self) -> list[str]:
        """What grows."""
        return [each.what for each in self.growths if each.leaks]

    @property
    def kept_of_burst_mib(self) -> float:
        """Memory of the gateway once a burst had been over for a while, above that before it."""
        before = [_gateway(each) for each in self.moments if self.settled_s <= each.at_s < self.burst_s[0]]
        after = [_gateway(each) for each in self.moments if each.at_s > self.burst_s[1]]
        return min(after) - max(before) if before and after else 0.0

    @property
    def peak_of_burst_mib(self) -> float:
        """Memory of the gateway during the burst, at most."""
        return max(_gateway(each) for each in self.moments)


async def soak(
    minutes: float, folder: Path, command: Sequence[str] = COMMAND, say: Callable[[str], None] = print
) -> Soaked:
    """Asks for so many minutes, with one burst of large requests; `folder` is for logs and temporary files."""
    files = folder / "tmp"
    files.mkdir()
    server_running = running({"cache__max_entries": _CACHED}, folder, command, {"TMPDIR": str(files)})
    server = await asyncio.to_thread(server_running.__enter__)
    try:
        return await _soaked(server, minutes * 60, files, say)
    finally:
        await asyncio.to_thread(server_running.__exit__, None, None, None)


async def _soaked(server: ServerProcess, seconds: float, files: Path, say: Callable[[str], None]) -> Soaked:
    videos: list[Source] = [Content(each.read_bytes()) for each in sorted(_SAMPLES.glob("*.mp4"))]
    loop, soaked = asyncio.get_running_loop(), Soaked()
    async with calling(server.target, videos, _CLIENTS) as soaked.callers:
        began_s = loop.time()
        soaked.settled_s = began_s + _SETTLED * seconds
        soaked.burst_s = began_s + _BURST_AT * seconds, began_s + _GIVEN_BACK_BY * seconds
        bursting: asyncio.Task[None] | None = None
        for number in range(_MOMENTS):
            await asyncio.sleep(max(0.0, began_s + number * seconds / _MOMENTS - loop.time()))
            soaked.moments.append(await asyncio.to_thread(moment, server, files))
            if loop.time() >= soaked.burst_s[0] and bursting is None:
                bursting = asyncio.create_task(_burst(server.target, _BURST_S * seconds), name="burst")
            if number % (_MOMENTS // 10) == 0:
                say(f"{number * seconds / _MOMENTS:.0f} s: {_gateway(soaked.moments[-1]):.0f} MiB in the gateway")
        if bursting:
            await bursting
    return soaked


async def _burst(target: str, seconds: float) -> None:
    """Many large requests at once, over and over; they are refused, or found to be no videos once they are there."""
    padded = Content(bytes(_BURST_BYTES))

    async def ask() -> None:
        async with ScoringClient(target) as client:
            while True:
                try:
                    await client.score(padded)
                except ScoringError:
                    await asyncio.sleep(0.2)

    tasks = [asyncio.create_task(ask()) for _ in range(_BURST)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _gateway(at: Moment) -> float:
    return at.held.get("memory of gateway, MiB", 0.0)


def _draw(soaked: Soaked, output: Path) -> None:
    began_s = soaked.moments[0].at_s
    minutes = [(each.at_s - began_s) / 60 for each in soaked.moments]
    kinds = sorted({name for each in soaked.moments for name in each.held})
    with pyplot.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.5), layout="constrained")
        memory, counts = figure.subplots(1, 2)
        for what in kinds:
            axes = memory if "memory" in what else counts
            axes.plot(minutes, [each.held.get(what, 0.0) for each in soaked.moments], label=what.removesuffix(", MiB"))
        memory.set(ylabel="MiB", title="Memory, without what is shared")
        counts.set(ylabel="at once", title="Other holdings")
        for axes in (memory, counts):
            axes.axvspan(*((at_s - began_s) / 60 for at_s in soaked.burst_s), color="#eeeeee")
            axes.set_xlabel("minutes (grey: a burst, and giving back)")
            axes.set_ylim(bottom=0)
            axes.legend(fontsize=8)
        figure.savefig(output.with_suffix(".svg"), metadata={"Date": None})


def _report(soaked: Soaked, minutes: float) -> str:
    ends = {end: sum(each.end == end for each in soaked.callers.answers) for end in ("verdict", "retryable", "lost")}
    facts = machine_facts()
    return "\n".join(
        [
            "| held | first third | last third | steadiness of growth | |",
            "|---|---|---|---|---|",
            *map(str, soaked.growths),
            "",
            f"Burst: the gateway had up to {soaked.peak_of_burst_mib:.0f} MiB, and kept "
            f"{max(0.0, soaked.kept_of_burst_mib):.0f} MiB of it.",
            "",
            f"{minutes:g} minutes, {ends['verdict']} verdicts, {ends['retryable']} retryable, {ends['lost']} lost.",
            f"{facts['cpu']}, {facts['cores']} cores, load average {os.getloadavg()[1]:.0f}.",
            "",
        ]
    )


def main() -> int:
    """Runs the command; 1 where something leaks, is lost, or is kept of the burst."""
    parser = argparse.ArgumentParser(prog="python -m wildgate_perf.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long callers ask (30)")
    parser.add_argument("--leaky", action="store_true", help="asks a server that leaks: it has to be found out")
    parser.add_argument("--output", type=Path, default=RESULTS / "soak.md", help="where the table is written")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wildgate-soak-", ignore_cleanup_errors=True) as folder:
        soaked = asyncio.run(soak(options.minutes, Path(folder), LEAKY if options.leaky else COMMAND))
    report = _report(soaked, options.minutes)
    print(report)
    options.output.write_text(report, encoding="utf-8")
    _draw(soaked, options.output)
    lost = any(each.end in ("lost", "wrong") for each in soaked.callers.answers)
    return int(lost or bool(soaked.leaks) or soaked.kept_of_burst_mib > _GIVEN_BACK_MIB)


if __name__ == "__main__":
    sys.exit(main())
