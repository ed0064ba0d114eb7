"""More than a server can do: how much of its peak it still does, how soon it refuses the rest, what memory that takes.

    python -m wildgate_perf.chaos.overload [--seconds 60]

The peak is what a closed loop with many clients gets, measured before and after each load. The loads are open loops:
videos as bytes, due on a timetable, each to be answered within a deadline and not asked again, but for one of callers
that come back as they are told. `late` are calls that were taken and not answered in time. Refusals are timed by the
server. Poisson arrivals at 70 % of the peak tell the tail that callers see where there is no overload.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from wildgate_client import ClientOptions, Content, ScoringClient, ScoringError
from wildgate_perf.attacks.watch import watching
from wildgate_perf.load_generator import LoadGenerator
from wildgate_perf.loops import Ask, LoadPlan, Measured, Stages, Unanswered
from wildgate_perf.machine_facts import machine_facts
from wildgate_perf.results import RESULTS
from wildgate_perf.server_parts import available_cores, free_address
from wildgate_perf.server_process import ServerProcess, serving
from wildgate_perf.workloads import Workload, by_content

__all__ = ["Load", "Row", "measure", "report"]

_SAMPLES = Path(__file__).resolve().parents[3] / "samples"
_CLIENTS_PER_CORE = 4
_DEADLINE_S = 10.0
_WARM_UP_S, _PEAK_S, _UNLOADED_S = 4.0, 10.0, 8.0
_POISSON, _TAIL_AIM = 0.7, 4.0
_REFUSAL_AIM_S = 0.01
_REFUSALS = "wildgate_refusal_seconds"


@dataclass(frozen=True)
class Load:
    """`times` the peak is offered, each video to be answered within `deadline_s`; `aim` of the peak are to be.

    With `callers` there is a closed loop of so many instead, who come back as they are told.
    """

    name: str
    times: float
    aim: float | None
    deadline_s: float = _DEADLINE_S
    callers: int = 0


LOADS = (
    Load("3 times the peak", 3.0, 0.97),
    Load("3 times the peak, 3 s for an answer", 3.0, None, deadline_s=3.0),
    Load("40 times the peak", 40.0, 0.9),
    Load("200 callers that do as they are told", 0.0, 0.97, deadline_s=60.0, callers=200),
)


@dataclass(frozen=True)
class AsTold:
    """Callers with the Python client, which comes back when it is told to."""

    target: str
    contents: tuple[bytes, ...]
    deadline_s: float

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Ask]:
        """See `Workload`."""
        async with ScoringClient(self.target, ClientOptions(deadline_s=self.deadline_s)) as client:

            async def ask(number: int) -> Stages:
                try:
                    await client.score(Content(self.contents[number % len(self.contents)]))
                except ScoringError as error:
                    raise Unanswered(f"{error.code.name if error.code else error.reason}: {error}") from None
                return {}

            yield ask


@dataclass(frozen=True)
class Row:
    """What came of a load; rates in videos/s, `p50_ms` of the verdicts, memory of all processes in MiB."""

    load: Load
    offered_per_s: float
    good_per_s: float
    peak_per_s: float
    ends: Mapping[str, int]
    p50_ms: float
    refusal_p99_s: float | None
    memory_mb: int
    resting_mb: int

    @property
    def of_peak(self) -> float:
        """Verdicts in time, of the mean of the peaks before and after."""
        return self.good_per_s / self.peak_per_s if self.peak_per_s else 0.0

    @property
    def misses(self) -> list[str]:
        """What was aimed at and is not so."""
        missed = ["goodput"] if self.load.aim is not None and self.of_peak < self.load.aim else []
        if self.refusal_p99_s is not None and self.refusal_p99_s > _REFUSAL_AIM_S:
            missed.append("refusals")
        if self.ends.get("other"):
            missed.append("lost")
        return missed

    def __str__(self) -> str:
        ends, aim = self.ends, "" if self.load.aim is None else f" ({self.load.aim:g})"
        refusal = "" if self.refusal_p99_s is None else f"{self.refusal_p99_s * 1e3:.1f}"
        return (
            f"| {self.load.name} | {self.offered_per_s:.0f} | {self.good_per_s:.2f} | {self.of_peak:.2f}{aim} "
            f"| {self.p50_ms:.0f} | {ends.get('refused', 0)} | {ends.get('late', 0)} | {ends.get('other', 0)} "
            f"| {refusal} | {self.resting_mb} to {self.memory_mb} | {', '.join(self.misses) or 'nothing'} |"
        )


_HEAD = (
    "| load | offered/s | verdicts/s | of the peak (aim) | verdicts' p50, ms | refused | late | other "
    "| refusals' p99, ms (10) | memory, MiB | missed |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def measure(
    seconds: float, loads: tuple[Load, ...] = LOADS, say: Callable[[str], None] = print, *, tail: bool = True
) -> tuple[list[Row], float | None]:
    """The row of each load, and the p99 of Poisson arrivals over the unloaded median, infinite where 1 % failed."""
    metrics = free_address()
    contents = tuple(each.read_bytes() for each in sorted(_SAMPLES.glob("*.mp4")))
    with (
        tempfile.TemporaryDirectory(prefix="wildgate-overload-", ignore_cleanup_errors=True) as folder,
        LoadGenerator() as generator,
        serving(log_folder=Path(folder), cache__max_entries=0, endpoint__metrics=metrics) as server,
    ):
        workload = replace(by_content(server.target, contents), deadline_s=_DEADLINE_S)

        def closed(clients: int, warm_up_s: float, lasts_s: float) -> Measured:
            return generator.closed(workload, LoadPlan(clients, warm_up_s, lasts_s))

        def peak() -> float:
            per_s = closed(_CLIENTS_PER_CORE * available_cores(), _WARM_UP_S, min(_PEAK_S, seconds)).per_s
            say(f"peak: {per_s:.2f} videos/s")
            return per_s

        closed(_CLIENTS_PER_CORE * available_cores(), 0.0, _WARM_UP_S)
        ratio = None
        if tail:
            unloaded_ms = closed(1, 1.0, _UNLOADED_S).took_ms(0.5)
            rate = _POISSON * peak()
            measured = generator.open(workload, rate, seconds, "poisson", warm_up_s=_WARM_UP_S)
            ratio = measured.took_or_failed_ms(0.99) / unloaded_ms
            say(f"unloaded p50 {unloaded_ms:.0f} ms, p99 at {_POISSON:.0%} {ratio:.1f} times that")
        rows: list[Row] = []
        peaks = [peak()]
        for load in loads:
            resting_mb = _resident_mb(server)
            with watching(server) as watched, _refusals(metrics) as refusals:
                if load.callers:
                    told = AsTold(server.target, contents, load.deadline_s)
                    measured = generator.closed(told, LoadPlan(load.callers, _WARM_UP_S, seconds))
                else:
                    due: Workload = replace(workload, deadline_s=load.deadline_s)
                    measured = generator.open(due, load.times * peaks[-1], seconds, warm_up_s=_WARM_UP_S)
            peaks.append(peak())
            around = sum(list(pairwise(peaks))[-1]) / 2
            offered = len(measured.counted) / seconds
            good = measured.good_per_s(load.deadline_s * 1e3)
            ends = _ends(measured)
            memory = watched.all_mb
            p50_ms = measured.took_ms(0.5) if measured.answers else float("inf")
            rows.append(Row(load, offered, good, around, ends, p50_ms, _p99_s(refusals), memory, resting_mb))
            say(str(rows[-1]))
    return rows, ratio


def report(rows: list[Row], tail: float | None, output: Path) -> None:
    """Writes the table."""
    facts = machine_facts()
    about = f"{facts['cpu']}, {facts['cores']} cores with the load generator on them"
    about += f", load average {os.getloadavg()[1]:.0f} (with others' work, where it is more than about 4)."
    lines = [_HEAD, *map(str, rows), ""]
    if tail is not None:
        lines += [
            f"Poisson arrivals at 70 % of the peak: p99 {tail:.1f} times the unloaded p50 (aim: {_TAIL_AIM:g}).",
            "",
        ]
    lines += [about, ""]
    output.write_text("\n".join(lines), encoding="utf-8")


def _ends(measured: Measured) -> Counter[str]:
    names = {"RESOURCE_EXHAUSTED": "refused", "DEADLINE_EXCEEDED": "late"}
    ends: Counter[str] = Counter()
    for failure, count in measured.failures.items():
        ends[names.get(failure, "other")] += count
    return ends


def _resident_mb(server: ServerProcess) -> int:
    return sum(each.memory_info().rss for each in server.processes()) >> 20


@contextmanager
def _refusals(metrics: str) -> Iterator[Counter[float]]:
    """How many refusals took at most how long, as long as the context lasts; filled as it ends."""
    found: Counter[float] = Counter()
    before = _buckets(metrics)
    yield found
    found.update({bound: count - before[bound] for bound, count in _buckets(metrics).items()})


def _buckets(metrics: str) -> Counter[float]:
    with urllib.request.urlopen(f"http://{metrics}/metrics") as answer:
        families = text_string_to_metric_families(answer.read().decode())
    samples = [each for family in families if family.name == _REFUSALS for each in family.samples]
    return Counter({float(each.labels["le"]): int(each.value) for each in samples if each.name.endswith("_bucket")})


def _p99_s(buckets: Counter[float]) -> float | None:
    """As Prometheus's histogram_quantile; None where nothing was refused."""
    wanted, below, from_s = 0.99 * max(buckets.values(), default=0), 0, 0.0
    for bound in sorted(buckets) if wanted else ():
        if buckets[bound] >= wanted:
            share = (wanted - below) / max(buckets[bound] - below, 1)
            return from_s if bound == float("inf") else from_s + share * (bound - from_s)
        below, from_s = buckets[bound], bound
    return None


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m wildgate_perf.chaos.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each load lasts (60)")
    parser.add_argument("--only", nargs="+", metavar="TEXT", default=[""], help="only loads whose names hold one")
    parser.add_argument("--no-tail", action="store_true", help="without Poisson arrivals")
    parser.add_argument("--output", type=Path, default=RESULTS / "overload.md", help="where the table is written")
    options = parser.parse_args()
    loads = tuple(load for load in LOADS if any(text in load.name for text in options.only))
    report(
        *measure(options.seconds, loads, lambda text: print(text, flush=True), tail=not options.no_tail), options.output
    )


if __name__ == "__main__":
    main()
