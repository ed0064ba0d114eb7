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
from wildgate_perf.bench.picture import draw_load
from wildgate_perf.bench.plan import FULL, QUICK
from wildgate_perf.bench.rtx import NoGpu, measure_rtx
from wildgate_perf.load_generator import LoadFailed
from wildgate_perf.local_server import ServerStartFailed
from wildgate_perf.machine_facts import machine_facts, same_machine
from wildgate_perf.results import LATEST, RESULTS, TARGETS, beside_targets, figure_of, read, target_table, write
from wildgate_perf.server_parts import TritonStartError
from wildgate_perf.server_process import MODEL_REPOSITORY, ServerStoppedBadly
from wildgate_perf.spread import Spread
from wildgate_perf.videos import VIDEOS, containers
from wildgate_server.repository.manifest import ManifestError

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
    PhaseFailed,
    LoadFailed,
    ServerStartFailed,
    ServerStoppedBadly,
    TritonStartError,
    ManifestError,
    ValueError,
)
_QUIET_CORES = 0.1
_MISSED, _CANNOT_RUN = 1, 2


def main(arguments: Sequence[str] | None = None, phases: Phases = PHASES) -> int:
    """Measures, writes results and pictures, prints the targets; 1 when something could not be measured.

    With `--strict` also where a target is missed. Results are written after each phase, so that those of the phases
    before stay whatever happens in one.
    """
    options = _parser(phases).parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    console = Console(highlight=False, soft_wrap=True)
    plan = QUICK if options.quick else FULL
    bench = Bench(plan, options.folder.resolve(), options.repository, lambda text: console.print(text, markup=False))
    # Figures of a check are not results.
    results = options.results or (options.folder / "quick" if options.quick else RESULTS)
    if options.profile == "rtx":
        return _rtx(bench, results)
    facts, began = machine_facts(), time.monotonic()
    wanted = {"videos", *(options.only or phases.keys() - _ALONE)}
    others = {name: phase for name, phase in phases.items() if name not in wanted}
    document = results_before(read(results / LATEST.name), facts, others)
    for key, date in document["measured_at"].items():
        bench.say(f"{key}: taken over, measured {date}")
    failed: dict[str, str] = {}
    for name in [name for name in phases if name in wanted]:
        started = time.monotonic()
        try:
            findings = phases[name][0](bench)
        except _FAILURES as error:
            failed[name] = type(error).__name__  # its text may name paths, which do not belong in results
            console.print(f"{name}: {type(error).__name__}: {error}", style="red", markup=False)
        else:
            document |= findings.figures
            document["measured_at"] |= dict.fromkeys(findings.figures, _now())
            document["details"] |= findings.details
        document["details"].setdefault("phase_s", {})[name] = round(time.monotonic() - started, 1)
        document["details"] |= {"failed": failed, "plan": asdict(plan)}
        write(results / LATEST.name, document | {"measured": _now(), "targets": beside_targets(document)})
    drawn = " and a picture" if draw_load(document["details"], results) else ""
    console.print(target_table(document))
    if (other_cores := _others(document["details"])) > _QUIET_CORES:
        console.print(
            f"Other processes kept {other_cores:.1f} cores busy meanwhile: ratios of rates say little, "
            "those by processor time (in details) more.",
            style="yellow",
        )
    bench.say(f"wrote {results / LATEST.name}{drawn}; {time.monotonic() - began:.0f} s in all")
    missed = any(target.met_by(figure_of(document, target.key)) is False for target in TARGETS)
    return _MISSED if failed or (options.strict and missed) else 0


def _rtx(bench: Bench, results: Path) -> int:
    """Measures the rtx profile; 2 where there is no GPU."""
    try:
        measure_rtx(bench, results)
    except (NoGpu, *_FAILURES) as error:
        print(f"bench: {error}", file=sys.stderr)
        return _CANNOT_RUN if isinstance(error, NoGpu) else _MISSED
    return 0


def results_before(latest: Mapping[str, Any], machine: Mapping[str, Any], others: Phases) -> dict[str, Any]:
    """What `latest.json` holds before anything is measured: what it held of the `others`, which are not measured again.

    Ratios move with processor, cores and versions, so it is taken over only where all of these are the same.
    """
    keys = dict.fromkeys(target.key.partition(".")[0] for target in TARGETS)
    document: dict[str, Any] = {"measured_at": {}, **keys, "machine": dict(machine), "details": {}}
    if not same_machine(latest.get("machine") or {}, machine):
        return document
    dates, details = latest.get("measured_at") or {}, latest.get("details") or {}
    for phase, (_, figures) in others.items():
        found = {key: latest[key] for key in figures if latest.get(key) is not None}
        document |= found
        document["measured_at"] |= {key: dates.get(key) or latest.get("measured") or "unknown" for key in found}
        document["details"] |= {key: details[key] for key in (phase, *figures) if key in details}
    return document


def _parser(phases: Phases) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m wildgate_perf.bench",
        description=wildgate_perf.bench.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--profile", choices=("cpu", "rtx"), default="cpu", help="rtx: measures only that, on a GPU [cpu]"
    )
    parser.add_argument("--repository", type=Path, default=MODEL_REPOSITORY, help="model repository [model_repository]")
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
    keys = ("served_over_offline_uri", "served_over_offline_content")
    ways = [way for key in keys for way in details.get(key, {}).get("other_load_cores", {}).values()]
    rounds = [each["others"] for way in ways for each in way]
    return Spread.of(rounds).median if rounds else 0.0


if __name__ == "__main__":
    sys.exit(main())
