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
from wildgate_perf.bench.offered_load import latency_over_load
from wildgate_perf.bench.peers.phase import over_peers
from wildgate_perf.bench.phase import Bench, Findings, PhaseFailed
from wildgate_perf.bench.plan import FULL, QUICK
from wildgate_perf.bench.report import draw_load
from wildgate_perf.bench.rtx import measure_rtx
from wildgate_perf.load_generator import LoadFailed
from wildgate_perf.local_server import ServerStartFailed
from wildgate_perf.machine_facts import machine_facts, same_machine
from wildgate_perf.processes import ProcessEnded
from wildgate_perf.results import LATEST, RESULTS, TARGETS, beside_target, brief, figure_of, read, target_table, write
from wildgate_perf.server_parts import TritonStartError
from wildgate_perf.server_process import MODEL_REPOSITORY, ServerStoppedBadly
from wildgate_perf.spread import Spread
from wildgate_perf.videos import VIDEOS, containers

Phase = Callable[[Bench], Findings]

Phases = Mapping[str, tuple[Phase, tuple[str, ...]]]


def _videos(bench: Bench) -> Findings:
    """Composes what is not there yet, so that no phase does."""
    bench.videos()
    bench.large_videos()
    containers(bench.video_folder)
    return Findings()


PHASES: Phases = {
    "videos": (_videos, ()),
    "uri_over_offline": (uri_over_offline, ("served_over_offline_uri",)),
    "content_over_offline": (content_over_offline, ("served_over_offline_content",)),
    "gateway_over_direct": (
        gateway_over_direct,
        ("gateway_over_direct", "gateway_over_direct_whole", "gateway_over_direct_cut", "gateway_added_p50_ms"),
    ),
    "uri_bytes_fraction": (uri_bytes_fraction, ("uri_bytes_fraction",)),
    "cached_over_first": (cached_over_first, ("cached_over_first",)),
    "sampling_over_decoding": (sampling_over_decoding, ()),
    "latency_over_load": (
        latency_over_load,
        ("p99_at_70pct_over_unloaded_p50", "poisson_p99_at_70pct_over_unloaded_p50", "goodput_at_3x_over_peak"),
    ),
    "peers": (over_peers, ("over_best_peer", "over_common_script")),
}
"""Every phase, and the figures of `latest.json` that it measures."""

_ALONE = {"peers"}  # only when asked for: it takes ten minutes by itself
_FAILURES = (
    *(PhaseFailed, LoadFailed, ProcessEnded, ServerStartFailed, ServerStoppedBadly, TritonStartError, ValueError),
)
_QUIET_CORES = 0.1


def main(arguments: Sequence[str] | None = None, phases: Phases = PHASES) -> int:
    """Measures, writes results and pictures, prints the targets; 1 when something could not be measured.

    With `--strict` also where a target is missed. Results are written after each phase, so that those of the phases
    before stay whatever happens in one.
    """
    parser = _parser(phases)
    options, rest = parser.parse_known_args(arguments)
    # Figures of a check are not results.
    results = options.results or (options.folder / "quick" if options.quick else RESULTS)
    if options.profile == "rtx":
        return measure_rtx(rest, options.folder.resolve(), results)
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    console = Console(highlight=False, soft_wrap=True)
    plan, facts, began = QUICK if options.quick else FULL, machine_facts(), time.monotonic()
    bench = Bench(plan, options.folder.resolve(), MODEL_REPOSITORY, lambda text: console.print(text, markup=False))
    wanted = {"videos", *(options.only or phases.keys() - _ALONE)}
    others = {name: phase for name, phase in phases.items() if name not in wanted}
    document = results_before(read(results / LATEST.name), facts, others)
    for key, date in document["measured_at"].items():
        console.print(f"{key}: taken over, measured {date}", markup=False)
    failed: dict[str, str] = {}
    for name in [name for name in phases if name in wanted]:
        started = time.monotonic()
        try:
            findings = phases[name][0](bench)
        except _FAILURES as error:
            failed[name] = brief(error)  # without paths and log tails, which belong to whoever reads the console
            console.print(f"{name}: {type(error).__name__}: {error}", style="red", markup=False)
        else:
            _enter(document, findings.figures, _now())
            document["details"] |= findings.details
        document["details"].setdefault("phase_s", {})[name] = round(time.monotonic() - started, 1)
        document["details"] |= {"failed": failed, "plan": asdict(plan)}
        write(results / LATEST.name, document | {"measured": _now()})
    drawn = " and a picture" if draw_load(document["details"], results) else ""
    console.print(target_table(document))
    if (other_cores := _others(document["details"])) > _QUIET_CORES:
        console.print(
            f"Other processes kept {other_cores:.1f} cores busy meanwhile: ratios of rates say little, "
            "those by processor time (in details) more.",
            style="yellow",
        )
    took_s = time.monotonic() - began
    console.print(f"wrote {results / LATEST.name}{drawn}; {took_s:.0f} s in all")
    missed = [target.key for target in TARGETS if target.met_by(figure_of(document, target.key)) is False]
    return 1 if failed or (options.strict and missed) else 0


def results_before(latest: Mapping[str, Any], machine: Mapping[str, Any], others: Phases) -> dict[str, Any]:
    """What `latest.json` holds before anything is measured: what it held of the `others`, which are not measured again.

    Ratios move with processor, cores and versions, so it is taken over only where all of these are the same.
    """
    document: dict[str, Any] = {
        "measured": _now(),
        "measured_at": {},
        **dict.fromkeys(target.key.partition(".")[0] for target in TARGETS),
        "targets": {target.key: beside_target(target, None) for target in TARGETS},
        "machine": dict(machine),
        "details": {},
    }
    if not same_machine(latest.get("machine") or {}, machine):
        return document
    for phase, (_, figures) in others.items():
        for key in figures:
            if latest.get(key) is not None:
                date = (latest.get("measured_at") or {}).get(key) or latest.get("measured") or "unknown"
                _enter(document, {key: latest[key]}, date)
        details = latest.get("details") or {}
        document["details"] |= {key: details[key] for key in (phase, *figures) if key in details}
    return document


def _enter(document: dict[str, Any], figures: Mapping[str, Any], measured: str) -> None:
    """Enters figures into the document, with their date and targets."""
    document |= figures
    document["measured_at"] |= dict.fromkeys(figures, measured)
    document["targets"] |= {
        target.key: beside_target(target, figure_of(document, target.key))
        for target in TARGETS
        if target.key.partition(".")[0] in figures
    }


def _parser(phases: Phases) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m wildgate_perf.bench",
        description=wildgate_perf.bench.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", choices=("cpu", "rtx"), default="cpu", help="rtx has options of its own [cpu]")
    parser.add_argument(
        "--quick", action="store_true", help="one to three minutes: checks the harness, its figures say little"
    )
    parser.add_argument("--only", action="append", choices=list(phases), metavar="PHASE", help=", ".join(phases))
    parser.add_argument("--results", type=Path, help="folder for results and pictures; perf/results by default")
    parser.add_argument("--folder", type=Path, default=VIDEOS.parent, help="where videos and logs are kept")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a target is missed, too")
    return parser


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _others(details: Mapping[str, Any]) -> float:
    """Cores that others kept busy, the median of all rounds against offline; 0 where none was measured."""
    rounds = [
        each["others"]
        for key in ("served_over_offline_uri", "served_over_offline_content")
        for turns in details.get(key, {}).get("other_load_cores", {}).values()
        for each in turns
    ]
    return Spread.of(rounds).median if rounds else 0.0


if __name__ == "__main__":
    sys.exit(main())
