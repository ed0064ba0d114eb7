"""`make bench-peers`: wildgate and its peers on the same videos, taking turns.

    python -m wildgate_perf.peers [--quick] [--only NAME ...] [--rounds N] [--seconds S] [--results FOLDER] [--strict]

Writes `peers.json` (after each round, too) and `peers.svg`, and the two figures into `latest.json` where there is one
of the same machine and everybody was measured. Prints a table and, last, targets beside figures. Exits 1 when a
contender failed, or with `--strict` a target is missed; 2 for the name of a contender that does not exist.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from wildgate_perf.loops import LoadPlan
from wildgate_perf.machine_facts import machine_facts, same_machine
from wildgate_perf.peers.agreement import reference
from wildgate_perf.peers.contenders import PEERS
from wildgate_perf.peers.contest import (
    CommonScriptTurn,
    Contender,
    Entry,
    Material,
    PeerTurn,
    WildgateTurn,
    run_contest,
)
from wildgate_perf.peers.detector import open_detector
from wildgate_perf.peers.report import contest_picture, contest_table, notes, results, unmeasured
from wildgate_perf.results import LATEST, RESULTS, TARGETS, beside_target, figure_of, merge, read, target_table, write
from wildgate_perf.server_parts import available_cores
from wildgate_perf.server_process import MODEL_REPOSITORY
from wildgate_perf.videos import VIDEOS, bench_videos
from wildgate_server.repository.manifest import load_manifest
from wildgate_server.repository.releases import load_releases, version_directory

_ROOT = Path(__file__).resolve().parents[3]
_CHECKED_SAMPLES = ("elephant_then_tusk.mp4", "tiger_passing.mp4", "tusks_on_a_table.mp4")
"""Besides a measured video, answers are checked on these: animals and products, upright and keyframes every 2 s."""
_CLIENTS_PER_CORE = 4
_TARGETS = [target for target in TARGETS if target.key in ("over_best_peer", "over_common_script")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the contest; returns the exit status."""
    options = _parser().parse_args(arguments)
    cores = available_cores()
    everybody = contenders(cores)
    chosen = [each for each in everybody if not options.only or each.name in options.only]
    if unknown := set(options.only or ()) - {each.name for each in everybody}:
        print(f"no such contender: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    rounds = options.rounds or (1 if options.quick else 3)
    seconds = options.seconds or (3.0 if options.quick else 7.0)
    plan = LoadPlan(cores * _CLIENTS_PER_CORE, 1.0 if options.quick else 2.0, seconds)
    console = Console(highlight=False, soft_wrap=True)
    machine = machine_facts()
    # Figures of a check are no results.
    folder = options.results or (VIDEOS.parent / "quick" if options.quick or options.only else RESULTS)

    def told_of(entries: Mapping[str, Entry]) -> dict[str, Any]:
        return results(entries, machine, {**asdict(plan), "rounds": rounds}, _now())

    entries = run_contest(
        chosen,
        _material(options.videos),
        plan,
        rounds,
        lambda line: console.print(line, markup=False),
        after_round=lambda so_far: write(folder / "peers.json", told_of(so_far)),
    )
    told = told_of(entries)
    write(folder / "peers.json", told)
    if any(entry.measured for entry in entries.values()):
        contest_picture(entries, folder)
    if not (options.quick or options.only):
        tell_latest(folder / LATEST.name, entries, told)
    console.print(contest_table(entries))
    for note in notes(entries):
        console.print(f"- {note}", markup=False)
    console.print(f"wrote {folder / 'peers.json'} and a picture beside it", markup=False)
    console.print(target_table(told, _TARGETS))
    missed = any(target.met_by(figure_of(told, target.key)) is False for target in _TARGETS)
    return 1 if any(entry.failed for entry in entries.values()) or (options.strict and missed) else 0


def tell_latest(latest: Path, entries: Mapping[str, Entry], told: Mapping[str, Any]) -> bool:
    """Writes the figures of `told` into the results of `make bench`, and whether it did.

    Not where there are none or they are of another machine, and not where somebody was not measured.
    """
    if unmeasured(entries) or not same_machine(read(latest).get("machine") or {}, told["machine"]):
        return False
    found = {target.key: told[target.key] for target in _TARGETS}
    targets = {target.key: beside_target(target, figure_of(told, target.key)) for target in _TARGETS}
    merge(latest, {**found, "measured_at": dict.fromkeys(found, told["measured"]), "targets": targets})
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def contenders(cores: int) -> list[Contender]:
    """Everybody who can take part, wildgate first."""
    return [
        WildgateTurn(),
        WildgateTurn("wildgate_uri", "wildgate, by file: URI", by_uri=True),
        *(PeerTurn(peer, cores) for peer in PEERS),
        CommonScriptTurn(cores),
    ]


def _material(folder: Path) -> Material:
    manifest = load_manifest(MODEL_REPOSITORY)
    release = load_releases(MODEL_REPOSITORY, manifest).serving
    graph = version_directory(MODEL_REPOSITORY, release.version) / "model.onnx"
    scorer = open_detector(graph, manifest.letterbox_value)
    videos = tuple(bench_videos(folder))
    checked = [videos[0], *(_ROOT / "samples" / name for name in _CHECKED_SAMPLES)]
    expected = {video: reference(video, scorer) for video in checked}
    return Material(graph, MODEL_REPOSITORY, manifest.letterbox_value, release.labels, videos, expected)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m wildgate_perf.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one short round, about two minutes")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this contender; may be repeated")
    parser.add_argument("--rounds", type=int, help="rounds that take turns (default 3)")
    parser.add_argument("--seconds", type=float, help="how long each turn is measured (default 7)")
    parser.add_argument("--results", type=Path, help="where results are written (default perf/results)")
    parser.add_argument("--videos", type=Path, default=VIDEOS, help="where videos are kept")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a target is missed, too")
    return parser


if __name__ == "__main__":
    # It ends the contest as Ctrl-C does: what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main())
