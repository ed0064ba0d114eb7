"""`python -m wildgate_perf.sweep` (`make sweep`): which setting to turn, by turning one at a time.

A server as it is and one with a setting changed stand side by side and are asked in turns, so that what else the
machine does hits both alike: a closed loop for videos a second, and Poisson arrivals at 70 % of the first one's peak
for latency. The first one that is tried has nothing changed: how far it lies from the other is noise, and what lies
within that is no gain. Before that, it says what takes the time.

Exit status: 0 done, 2 usage or a server that cannot be started.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table

from wildgate_client.result_table import print_table
from wildgate_perf.bench.phase import SETTINGS, PhaseFailed, Way, all_answered, cpu_ms
from wildgate_perf.load_generator import LoadFailed, LoadGenerator
from wildgate_perf.local_server import ServerStartFailed
from wildgate_perf.machine_facts import machine_facts
from wildgate_perf.results import RESULTS, write
from wildgate_perf.server_parts import available_cores
from wildgate_perf.server_process import ServerProcess, ServerStoppedBadly, serving
from wildgate_perf.spread import Spread
from wildgate_perf.videos import bench_videos
from wildgate_perf.workloads import by_uri

_CLIENTS_A_CORE, _WARM_UP_S, _LOAD = 4, 1.0, 0.7
_LEAST_GAIN = 0.03
_USAGE = 2
NOTHING = ("nothing", "")


@dataclass(frozen=True)
class Tried:
    """One setting, changed: over the server as it is, round by round."""

    setting: str
    value: str
    per_s: Spread
    p99_ms: Spread

    @property
    def name(self) -> str:
        """As it is given to `wildgate serve`."""
        return f"--{self.setting.replace('_', '-')} {self.value}" if self.value else "(nothing changed)"


def gains(tried: Sequence[Tried], figure: str, noise: float) -> list[Tried]:
    """Those that are better in every round, by more than noise; the best first."""

    def gain(each: Tried) -> float:
        median: float = getattr(each, figure).median
        return median - 1 if figure == "per_s" else 1 - median

    def in_every_round(each: Tried) -> bool:
        return all((ratio > 1) == (figure == "per_s") for ratio in getattr(each, figure).rounds)

    better = [each for each in tried if gain(each) > max(_LEAST_GAIN, noise) and in_every_round(each)]
    return sorted(better, key=gain, reverse=True)


def advice(tried: Sequence[Tried]) -> list[str]:
    """What to turn, in words; the first that was tried has nothing changed."""
    said = []
    for figure, more, less in (("per_s", "videos a second", "p99"), ("p99_ms", "p99", "videos a second")):
        noise = max(abs(ratio - 1) for ratio in getattr(tried[0], figure).rounds)
        other = "p99_ms" if figure == "per_s" else "per_s"
        if best := next(iter(gains(tried[1:], figure, noise)), None):
            ratio, beside = getattr(best, figure).median, getattr(best, other).median
            said.append(f"for {more}: {best.name} ({more} x {ratio:.2f}, {less} x {beside:.2f}; noise {noise:.0%})")
        else:
            said.append(
                f"for {more}: leave all as it is; nothing gains more than noise ({max(noise, _LEAST_GAIN):.0%})"
            )
    return said


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    knobs = [knob for given in options.knob or _default_knobs() for knob in given]
    try:
        with tempfile.TemporaryDirectory(prefix="wildgate-sweep-") as folder:
            tried, limits = _sweep(Path(folder), knobs, options.rounds, options.seconds)
    except (ServerStartFailed, ServerStoppedBadly, PhaseFailed, LoadFailed) as error:
        print(f"wildgate: {error}", file=sys.stderr)
        return _USAGE
    table = Table("setting", "videos/s", "p99", box=box.SIMPLE_HEAD, title="over the server as it is")
    for each in tried:
        table.add_row(each.name, f"x {each.per_s.median:.3f}", f"x {each.p99_ms.median:.3f}")
    print_table(table, sys.stdout)
    said = advice(tried)
    print("\n".join([*limits, *said]))
    rows = {each.name: {"per_s": each.per_s.as_json(), "p99_ms": each.p99_ms.as_json()} for each in tried}
    facts = machine_facts(("grpcio",))
    write(RESULTS / "sweep.json", {"machine": facts, "tried": rows, "limits": limits, "advice": said})
    return 0


def _sweep(
    folder: Path, knobs: Sequence[tuple[str, str]], rounds: int, seconds: float
) -> tuple[list[Tried], list[str]]:
    uris = [video.as_uri() for video in bench_videos(folder)]
    common = {"source__file_roots": [folder], **SETTINGS}
    with LoadGenerator() as load, serving(log_folder=folder / "as-it-is", **common) as server:

        def way(of: ServerProcess) -> Way:
            clients = _CLIENTS_A_CORE * available_cores()
            return Way(load, by_uri(of.target, uris), clients, of.cpu_times)

        as_it_is = way(server)
        limits, peak = what_limits(as_it_is, seconds)
        tried = []
        for setting, value in (NOTHING, *knobs):
            changed = {setting.replace(".", "__"): value} if value else {}
            with serving(log_folder=folder / f"{setting}-{value}", **{**common, **changed}) as other:
                tried.append(compare_knob((setting, value), as_it_is, way(other), _LOAD * peak, rounds, seconds))
            print(f"{tried[-1].name}: {tried[-1].per_s.median:.3f}, p99 {tried[-1].p99_ms.median:.3f}", flush=True)
    return tried, limits


def compare_knob(
    knob: tuple[str, str], as_it_is: Way, other: Way, rate_per_s: float, rounds: int, seconds: float
) -> Tried:
    """Asks both in turns; `rate_per_s` is that of the open loops."""
    other.round(0.0, _WARM_UP_S)
    per_s: list[tuple[float, float]] = []
    p99_ms: list[tuple[float, float]] = []
    for _ in range(rounds):
        base, changed = (each.round(_WARM_UP_S, seconds).measured.per_s for each in (as_it_is, other))
        per_s.append((changed, base))
        base, changed = (_tail_ms(each, rate_per_s, 2 * seconds) for each in (as_it_is, other))
        p99_ms.append((changed, base))
    return Tried(*knob, *(Spread.ratios(*zip(*pairs, strict=True)) for pairs in (per_s, p99_ms)))


def _tail_ms(way: Way, rate_per_s: float, seconds: float) -> float:
    loaded = way.load.open(way.workload, rate_per_s, seconds, "poisson", warm_up_s=_WARM_UP_S)
    return all_answered(loaded).took_ms(0.99)


def what_limits(way: Way, seconds: float) -> tuple[list[str], float]:
    """What takes a video's time and the processor's when the server is full, in words; and its peak."""
    way.round(0.0, _WARM_UP_S)
    full = way.round(_WARM_UP_S, 2 * seconds)
    stages = full.measured.stages_ms(0.5)
    total_ms = stages.pop("total", 0.0) or 1.0
    waits, took_ms = max(stages.items(), key=lambda stage: stage[1])
    by_kind = cpu_ms([full])
    kind, used_ms = max(by_kind.items(), key=lambda kind: kind[1])
    return [
        f"full, at {full.measured.per_s:.1f} videos/s: {waits} takes {took_ms / total_ms:.0%} of a video's time",
        f"processor: {kind} take {used_ms:.0f} of {sum(by_kind.values()):.0f} ms a video",
    ], full.measured.per_s


def _default_knobs() -> list[list[tuple[str, str]]]:
    cores = available_cores()
    return [
        [("backend.instances", str(count)) for count in sorted({max(1, cores // 2), cores + 1} - {cores})],
        [("sampling.workers", str(count)) for count in sorted({1, 2 * cores} - {cores})],
        [("batch.max_rows", "1"), ("batch.max_rows", "16")],
        [("batch.max_wait_ms", "2")],
    ]


def _knob(text: str) -> list[tuple[str, str]]:
    setting, _, values = text.partition("=")
    if not setting or not values:
        raise argparse.ArgumentTypeError(f"{text!r} is not SETTING=VALUE,VALUE")
    return [(setting, value) for value in values.split(",")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m wildgate_perf.sweep", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--knob",
        type=_knob,
        action="append",
        metavar="SETTING=VALUE,VALUE",
        help="a setting of `wildgate serve`, such as batch.max_rows=1,16; may be given again; default: the usual ones",
    )
    parser.add_argument("--rounds", type=int, default=3, help="of each [3]")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each closed loop; open ones take twice that [5]")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
