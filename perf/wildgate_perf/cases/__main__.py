"""`python -m wildgate_perf.cases`: opens cases at a rate while eight people work on them, and writes `cases.json`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from wildgate_perf.cases.gateway import allowed
from wildgate_perf.cases.load import worked_on
from wildgate_perf.cases.service import case_service, postgresql
from wildgate_perf.machine_facts import machine_facts
from wildgate_perf.results import RESULTS, Target, read, target_table, write

RATES_PER_S = {"sqlite": 50.0, "postgresql": 100.0}
_BY_DATABASE = tuple(
    target
    for name in RATES_PER_S
    for target in (
        Target(f"{name}.opened_p99_ms", at_most=50),
        Target(f"{name}.claimed_twice", at_most=0),
        Target(f"{name}.failed", at_most=0),
        Target(f"{name}.service_cpu_ms_per_case", unbounded="for information"),
    )
)
TARGETS = (*_BY_DATABASE, Target("gateway.allow_added_share", at_most=0.03))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m wildgate_perf.cases", description=__doc__)
    parser.add_argument("--database", choices=RATES_PER_S, action="append", help="both by default")
    parser.add_argument("--no-gateway", action="store_true", help="leave out what handing over adds to an ALLOW")
    parser.add_argument("--rate", type=float, help="cases a second; 50 into SQLite and 100 into PostgreSQL by default")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--reviewers", type=int, default=8, help="who claim and decide a case a second each")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    file = options.results / "cases.json"
    figures = read(file) | {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine_facts()}
    for name in options.database or RATES_PER_S:
        rate = options.rate or RATES_PER_S[name]
        with (
            TemporaryDirectory() as directory,
            postgresql(Path(directory), wanted=name == "postgresql") as url,
            case_service(Path(directory), url) as service,
        ):
            figures[name] = asyncio.run(worked_on(service, rate, options.seconds, options.reviewers))
    if not options.no_gateway:
        figures["gateway"] = allowed()
    console = Console(highlight=False, soft_wrap=True)
    console.print_json(data=figures)
    console.print(target_table(figures, TARGETS))
    write(file, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
