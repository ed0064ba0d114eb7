"""`make chaos`: breaks one thing after the other under load, and says what became of the requests."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from wildgate_client import Content, Source
from wildgate_perf.chaos import fleet, overload, processes, secured, surroundings
from wildgate_perf.chaos.callers import calling
from wildgate_perf.chaos.fault import HEAD, Fault, Outcome, outcome_of
from wildgate_perf.machine_facts import machine_facts
from wildgate_perf.results import RESULTS
from wildgate_perf.server_process import ServerProcess, serving

_SAMPLES = Path(__file__).resolve().parents[3] / "samples"
_VIDEOS, _CLIENTS = 2, 4
_BEFORE_S = 2.0
_MOST_S = 60  # for one that is not over by then


@asynccontextmanager
async def _gateway(folder: Path) -> AsyncIterator[ServerProcess]:
    running = serving(log_folder=folder, cache__max_entries=0)
    server = await asyncio.to_thread(running.__enter__)
    try:
        yield server
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


STAGES: tuple[tuple[Any, tuple[Fault, ...]], ...] = (
    (_gateway, processes.FAULTS),
    (fleet.fleet, fleet.FAULTS),
    (surroundings.surroundings, surroundings.FAULTS),
    (secured.secured, secured.FAULTS),
)
"""What faults are played on, each in a folder of its own."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; 1 where a promise was not kept, with `--strict` alone."""
    options, console = _parser().parse_args(arguments), Console(highlight=False, soft_wrap=True)
    only = options.only
    outcomes: list[Outcome] = []
    notes: list[str] = []
    missed = False
    for stage, faults in STAGES:
        chosen = [fault for fault in faults if not only or any(part in fault.name for part in only)]
        if chosen:
            with tempfile.TemporaryDirectory(prefix="wildgate-chaos-", ignore_cleanup_errors=True) as folder:
                asyncio.run(_played(stage(Path(folder)), chosen, options.seconds, console, outcomes, notes))
            _write(options.output, outcomes, notes)
    if not only or "overload" in only:
        loads = tuple(load for load in overload.LOADS if load.aim and not load.callers)
        rows, _ = overload.measure(options.overload_seconds, loads, say=console.print, tail=False)
        overload.report(rows, None, RESULTS / "overload.md")
        missed |= any(row.misses for row in rows)
    missed |= any(outcome.misses for outcome in outcomes)
    return int(options.strict and missed)


async def _played(
    stage: AbstractAsyncContextManager[Any],
    faults: Sequence[Fault],
    seconds: float,
    console: Console,
    outcomes: list[Outcome],
    notes: list[str],
) -> None:
    async with stage as struck:
        for fault in faults:
            outcomes.append(await play(fault, struck, seconds))
            console.print(outcomes[-1].row, *outcomes[-1].examples, sep="\n    ")
        notes += getattr(struck, "notes", [])


async def play(fault: Fault, struck: Any, seconds: float) -> Outcome:
    """What comes of a fault of what was `struck`, whose callers go on for some seconds after it."""
    videos: list[Source] = [Content(each.read_bytes()) for each in sorted(_SAMPLES.glob("*.mp4"))[:_VIDEOS]]
    credentials = getattr(struck, "credentials", None)
    async with calling(struck.target, videos, _CLIENTS, credentials) as callers:
        await asyncio.sleep(_BEFORE_S)
        began_s = time.monotonic()
        await fault.strike(struck)
        await asyncio.sleep(seconds)
        for _ in range(_MOST_S):
            if callers.scored_since(began_s):
                break
            await asyncio.sleep(1)
    return outcome_of(fault, callers, began_s)


def _write(output: Path, outcomes: Sequence[Outcome], notes: Sequence[str]) -> None:
    """The table anew, with the rows that it had of faults that were not played this time."""
    before = output.read_text(encoding="utf-8").splitlines() if output.exists() else []
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in before if line.startswith("| ")}
    rows |= {outcome.fault: outcome.row for outcome in outcomes}
    known = [rows[fault.name] for _, faults in STAGES for fault in faults if fault.name in rows]
    said = notes or [line for line in before if line.startswith("The ")]
    facts = machine_facts()
    about = f"{_CLIENTS} clients ask all the while; {facts['cpu']}, {facts['cores']} cores"
    about += f", load average {os.getloadavg()[1]:.0f} (of others, too: heal times grow with it)."
    if len(known) > len(outcomes):
        about += " Faults that were not played this time have the rows of earlier runs, maybe on another machine."
    output.write_text("\n".join([*HEAD, *known, "", *said, "", about, ""]), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m wildgate_perf.chaos", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", metavar="TEXT", help="only the faults whose names hold one of these, or overload"
    )
    parser.add_argument("--seconds", type=float, default=6.0, help="how long callers go on after each fault (6)")
    parser.add_argument("--overload-seconds", type=float, default=60.0, help="how long each overload lasts (60)")
    parser.add_argument("--output", type=Path, default=RESULTS / "chaos.md", help="where the table is written")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a promise was not kept")
    return parser


if __name__ == "__main__":
    sys.exit(main())
