"""`make observe`: asks a real Prometheus every query of the dashboards, rules and autoscalers, under a little load.

Exits 1 where a query names a metric that no server tells, is refused, or has no data though it should; where a rule
fails; and where an alert fires on a fleet that is well.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from wildgate_perf.local_server import ServerStartFailed
from wildgate_perf.observe.dashboards import Panel, panels
from wildgate_perf.observe.fleet import Fleet, fleet, load
from wildgate_perf.observe.picture import draw
from wildgate_perf.observe.prometheus import Prometheus, PrometheusMissing, prometheus
from wildgate_perf.observe.queries import GPU_METRICS, all_queries, metrics_in, recorded, rules, told

_OUTPUT = Path("out/observe")
_USUAL = frozenset({"up"})


@dataclass
class Findings:
    """What is wrong, a line each."""

    faults: list[str] = field(default_factory=list)

    def names(self, known: set[str]) -> None:
        """Queries that name what nobody tells."""
        for where, query in all_queries():
            for name in sorted(metrics_in(query) - known - recorded() - GPU_METRICS - _USUAL):
                self.faults.append(f"{where}: no server tells {name}")

    def data(self, source: Prometheus, panel: Panel, at_s: float) -> int:
        """Queries of `panel` that are refused, or lack data they should have; returns how many series there are."""
        count = 0
        for query in panel.asked(".*", "1m"):
            try:
                found = len(source.ask(query, at_s))
            except ValueError as refused:
                self.faults.append(f"panel {panel.title}: {refused}")
                continue
            count += found
            if not found and not (panel.empty or panel.gpu):
                self.faults.append(f"panel {panel.title}: no data for {query}")
        return count

    def rules(self, source: Prometheus, at_s: float) -> None:
        """Rules that fail, and alerts that fire."""
        for alert, (state, error) in source.alerts().items():
            if error:
                self.faults.append(f"alert {alert}: {error}")
            if state == "firing":
                self.faults.append(f"alert {alert}: fires, and nothing is wrong")
        for rule in rules():
            if "record" in rule and not source.ask(rule["record"], at_s):
                self.faults.append(f"rule {rule['record']}: records nothing")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make observe OBSERVE=", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the servers are under load")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="folder of the picture and the table")
    options, console = parser.parse_args(arguments), Console(highlight=False, soft_wrap=True)
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="wildgate-observe-", ignore_cleanup_errors=True) as folder:
        try:
            with fleet(Path(folder)) as servers, prometheus(Path(folder), servers) as source:
                findings = _observed(servers, source, options.seconds, options.output, console)
        except (PrometheusMissing, ServerStartFailed, RuntimeError) as error:
            print(f"observe: {error}", file=sys.stderr)
            return 2
    for fault in findings.faults:
        console.print(fault, style="red", markup=False)
    console.print(
        f"{sum(1 for _ in all_queries())} queries, {len(findings.faults)} faults; {options.output}/panels.png"
    )
    return int(bool(findings.faults))


def _observed(servers: Fleet, source: Prometheus, seconds: float, output: Path, console: Console) -> Findings:
    began_s = time.time()
    answers = asyncio.run(load(servers, seconds))
    ended_s = time.time()  # what is asked for is how it was then, however long asking takes
    console.print(f"{answers} videos answered in {seconds:g} s")
    findings, shown = Findings(), [*panels()]
    findings.names(told(page(address, path) for _, address, path in servers.scraped))
    table = Table("panel", "series", "may be empty")
    for panel in shown:
        table.add_row(
            panel.title, str(findings.data(source, panel, ended_s)), "needs a GPU" if panel.gpu else panel.empty
        )
    findings.rules(source, ended_s)
    console.print(table)
    draw(source, [panel for panel in shown if panel.main], began_s, ended_s, output / "panels.png")
    return findings


def page(address: str, path: str) -> str:
    """What a server tells there."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{address}{path}", timeout=10) as answer:
        return str(answer.read(), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
