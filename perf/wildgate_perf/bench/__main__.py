"""Runs the benchmark: `python -m wildgate_perf.bench --help`."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console

import wildgate_perf.bench
from wildgate_perf.bench.against_decoding import sampling_over_decoding
from wildgate_perf.bench.against_direct import gateway_over_direct
from wildgate_perf.bench.against_offline import content_over_offline, uri_over_offline
from wildgate_perf.bench.bytes_read import uri_bytes_fraction
from wildgate_perf.bench.cached import cached_over_first
from wildgate_perf.bench.known import Known, known_before, known_of_peers
from wildgate_perf.bench.offered_load import latency_over_load
from wildgate_perf.bench.phase import Bench, Findings, PhaseFailed
from wildgate_perf.bench.plan import FULL, QUICK
from wildgate_perf.bench.report import draw_pictures
from wildgate_perf.failure_text import brief
from wildgate_perf.load_generator import LoadFailed
from wildgate_perf.machine_facts import machine_facts
from wildgate_perf.processes import ProcessEnded
from wildgate_perf.results import LATEST, RESULTS, TARGETS, figure_of, read, target_table, write
from wildgate_perf.server_parts import TritonStartError
from wildgate_perf.server_process import MODEL_REPOSITORY, ServerStoppedBadly
from wildgate_perf.spread import Spread
from wildgate_perf.videos import VIDEOS, containers
from wildgate_server.local_server import ServerStartFailed

__all__ = ["main"]

PHASES: dict[str, Callable[[Bench], Findings]] = {
    "uri_over_offline": uri_over_offline,
    "content_over_offline": content_over_offline,
    "gateway_over_direct": gateway_over_direct,
    "uri_bytes_fraction": uri_bytes_fraction,
    "cached_over_first": cached_over_first,
    "sampling_over_decoding": sampling_over_decoding,
    "latency_over_load": latency_over_load,
}
_FAILURES = (
    PhaseFailed,
    LoadFailed,
    ProcessEnded,
    ServerStartFailed,
    ServerStoppedBadly,
    TritonStartError,
    ValueError,
)
_QUIET_CORES = 0.1
_PEERS = RESULTS / "peers.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, writes results and pictures, prints the targets; 1 when something could not be measured.

    With `--strict` also where a target is missed. Results are written after each phase, so that those of the phases
    before stay whatever happens in one.
    """
    parser = argparse.ArgumentParser(
        prog="python -m wildgate_perf.bench",
        description=wildgate_perf.bench.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--quick", action="store_true", help="one to three minutes: checks the harness, its figures say little"
    )
    parser.add_argument("--only", action="append", choices=list(PHASES), metavar="PHASE", help=", ".join(PHASES))
    parser.add_argument("--results", type=Path, help="folder for results and pictures; perf/results by default")
    parser.add_argument("--folder", type=Path, default=VIDEOS.parent, help="where videos and logs are kept")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a target is missed, too")
    options = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    console = Console(highlight=False, soft_wrap=True)
    plan = QUICK if options.quick else FULL
    # Figures of a check are no results.
    results = options.results or (options.folder / "quick" if options.quick else RESULTS)
    bench = Bench(plan, options.folder.resolve(), MODEL_REPOSITORY, lambda text: console.print(text, markup=False))
    facts = machine_facts()
    began = time.monotonic()
    phases = options.only or list(PHASES)
    found = known_before(read(results / LATEST.name), facts, phases) if options.only else Known()
    peers = known_of_peers(read(_PEERS), facts)
    found.figures.update(peers.figures)
    found.measured.update(peers.measured)
    for key, date in found.measured.items():
        console.print(f"{key}: taken over, measured {date}", markup=False)
    seconds, failed = dict(found.details.get("phase_s", {})), {}
    for name in ("videos", *phases):
        started = time.monotonic()
        try:
            findings = PHASES[name](bench) if name in PHASES else _videos(bench)
        except _FAILURES as error:
            failed[name] = brief(error)  # without paths and log tails, which belong to whoever reads the console
            console.print(f"{name}: {type(error).__name__}: {error}", style="red", markup=False)
        else:
            found.figures.update(findings.figures)
            found.details.update(findings.details)
            found.measured.update(dict.fromkeys(findings.figures, _now()))
        seconds[name] = round(time.monotonic() - started, 1)
        found.details.update({"phase_s": seconds, "failed": failed, "plan": asdict(plan)})
        write(results / LATEST.name, _document(found, facts))
    drawn = draw_pictures(found.details, results)
    console.print(target_table(found.figures))
    if (others := _others(found.details)) > _QUIET_CORES:
        console.print(
            f"Other processes kept {others:.1f} cores busy meanwhile: ratios of rates say little, "
            "those by processor time (in details) more.",
            style="yellow",
        )
    console.print(
        f"wrote {results / LATEST.name}; pictures: {', '.join(drawn)}; {time.monotonic() - began:.0f} s in all"
    )
    missed = [target.key for target in TARGETS if target.met_by(figure_of(found.figures, target.key)) is False]
    return 1 if failed or (options.strict and missed) else 0


def _document(found: Known, facts: Mapping[str, Any]) -> dict[str, Any]:
    """All that latest.json holds."""
    return {
        "measured": _now(),
        "measured_at": found.measured,
        **{key: found.figures.get(key) for key in _top_keys()},
        "targets": {target.key: _beside(target.key, found.figures) for target in TARGETS},
        "machine": facts,
        "details": found.details,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _videos(bench: Bench) -> Findings:
    """Composes what is not there yet, so that no phase does."""
    bench.videos()
    bench.large_videos()
    containers(bench.video_folder)
    return Findings()


def _others(details: Mapping[str, Any]) -> float:
    """Cores that others kept busy, the median of all rounds against offline; 0 where none was measured."""
    rounds = [
        each["others"]
        for key in ("served_over_offline_uri", "served_over_offline_content")
        for turns in details.get(key, {}).get("other_load_cores", {}).values()
        for each in turns
    ]
    return Spread.of(rounds).median if rounds else 0.0


def _top_keys() -> list[str]:
    return list(dict.fromkeys(target.key.partition(".")[0] for target in TARGETS))


def _beside(key: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    target, figure = next(target for target in TARGETS if target.key == key), figure_of(figures, key)
    return {"figure": figure, "target": str(target), "met": target.met_by(figure)}


if __name__ == "__main__":
    sys.exit(main())
