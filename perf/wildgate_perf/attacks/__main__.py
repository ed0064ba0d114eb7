"""`make attacks`: plays one attack after the other on a server of its own, and says what good callers noticed of it."""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from wildgate_perf.attacks import connections, messages, streams, videos
from wildgate_perf.attacks.attack import Attack, Target, played
from wildgate_perf.attacks.table import NOT_PLAYED, Outcome, markdown
from wildgate_perf.attacks.watch import watching
from wildgate_perf.load_generator import LoadGenerator
from wildgate_perf.loops import LoadPlan, Measured
from wildgate_perf.machine_facts import machine_facts
from wildgate_perf.range_server import range_server
from wildgate_perf.results import RESULTS, write
from wildgate_perf.server_process import ServerProcess, ServerStoppedBadly, serving
from wildgate_perf.workloads import Workload, by_content, by_uri

_SAMPLES = Path(__file__).resolve().parents[3] / "samples"
_ATTACKS = sorted(
    (*streams.ATTACKS, *messages.ATTACKS, *connections.ATTACKS, *videos.ATTACKS), key=lambda attack: attack.row
)
_CLIENTS = 4
_WARM_UP_S = 2.0  # also for the attack to begin
_RECOVERY_S = 10.0
_USUAL_DESCRIPTORS = 1024  # which servers are started with


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; 1 where something that is asked was missed, with `--strict` alone."""
    options, console = _parser().parse_args(arguments), Console(highlight=False, soft_wrap=True)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_USUAL_DESCRIPTORS, most))
    outcomes = []
    for attack in _ATTACKS:
        if options.only and attack.row not in options.only:
            continue
        outcome = _played(attack, options.seconds)
        missed = f"[red]missed: {', '.join(outcome.misses)}[/]" if outcome.misses else "[green]held[/]"
        kept = f"{outcome.rate_kept:.2f} of the rate, p99 x {outcome.p99_over:.1f}"
        console.print(f"{attack.row:3} {attack.name}: {kept}, {missed}")
        outcomes.append(outcome)
    found = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine_facts(),
        "attacks": [outcome.as_json() for outcome in outcomes],
        "not_played": NOT_PLAYED,
    }
    write(options.output.with_suffix(".json"), found)
    options.output.with_suffix(".md").write_text(markdown(outcomes), encoding="utf-8")
    return int(options.strict and any(outcome.misses for outcome in outcomes))


def _played(attack: Attack, seconds: float) -> Outcome:
    """The attack on a server of its own: memory that one made it take must not count for the next."""
    outcome = None
    try:
        with (
            tempfile.TemporaryDirectory(prefix="wildgate-attacks-") as folder,
            LoadGenerator() as load,
            range_server(_SAMPLES) as origin,
            serving(
                log_folder=None,
                source__file_roots=[folder],
                source__private_networks=["127.0.0.0/8"],
                cache__max_entries=0,
            ) as server,
        ):
            samples = sorted(_SAMPLES.glob("*.mp4"))
            workload: Workload = by_content(server.target, [sample.read_bytes() for sample in samples])
            if attack.by_uri:
                workload = by_uri(server.target, [f"{origin.url}/{sample.name}" for sample in samples])
            outcome = _outcome(attack, server, Target(server.target, Path(folder)), load, workload, seconds)
    except ServerStoppedBadly:
        if outcome is None:
            raise
        return replace(outcome, stopped=False)
    return outcome


def _outcome(
    attack: Attack, server: ServerProcess, target: Target, load: LoadGenerator, workload: Workload, seconds: float
) -> Outcome:
    def good_callers() -> Measured:
        return load.closed(workload, LoadPlan(_CLIENTS, _WARM_UP_S, seconds))

    before = good_callers()
    with watching(server) as watched, played(attack, target) as attackers_s:
        time.sleep(_WARM_UP_S)
        taken_s, began_s = attackers_s(), time.monotonic()
        during = good_callers()
        attacker_cores = (attackers_s() - taken_s) / (time.monotonic() - began_s)
    time.sleep(_RECOVERY_S - _WARM_UP_S)
    return Outcome(attack.row, attack.name, before, during, good_callers(), watched, attacker_cores)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m wildgate_perf.attacks", description=__doc__)
    parser.add_argument("--only", type=int, nargs="+", metavar="ROW", help="only the attacks of these rows")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long good callers are measured each time (6)")
    parser.add_argument("--output", type=Path, default=RESULTS / "attacks", help="where .json and .md are written")
    parser.add_argument("--strict", action="store_true", help="exit 1 where something was missed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
