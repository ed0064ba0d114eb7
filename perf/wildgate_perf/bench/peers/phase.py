"""The phase `peers` of the benchmark: wildgate's videos per second over those of others, which take turns with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from wildgate_perf.bench.peers.agreement import reference
from wildgate_perf.bench.peers.contenders import PEERS
from wildgate_perf.bench.peers.contest import (
    CommonScriptTurn,
    Contender,
    Entry,
    Material,
    PeerTurn,
    WildgateTurn,
    run_contest,
)
from wildgate_perf.bench.peers.detector import open_detector
from wildgate_perf.bench.phase import Bench, Findings, PhaseFailed
from wildgate_perf.loops import LoadPlan
from wildgate_perf.results import first_line
from wildgate_perf.server_parts import available_cores
from wildgate_perf.spread import Spread
from wildgate_server.repository.manifest import load_manifest
from wildgate_server.repository.releases import load_releases, version_directory

Entries: TypeAlias = Mapping[str, Entry]

_SAMPLES = Path(__file__).resolve().parents[4] / "samples"
_CHECKED = ("elephant_then_tusk.mp4", "tiger_passing.mp4", "tusks_on_a_table.mp4")
"""Besides a measured video, answers are checked on these: animals and products, upright and keyframes every 2 s."""
_PEERS = [peer.name for peer in PEERS]
_WILDGATE, _WILDGATE_URI, _COMMON_SCRIPT = "wildgate", "wildgate_uri", "common_script"


def over_peers(bench: Bench) -> Findings:
    """Both ratios; not `over_best_peer` where a peer is absent. Raises PhaseFailed where a contender failed."""
    plan, cores = bench.plan, available_cores()
    contenders: list[Contender] = [
        WildgateTurn(),
        WildgateTurn(_WILDGATE_URI, "wildgate, by file: URI", by_uri=True),
        *(PeerTurn(peer, cores) for peer in PEERS),
        CommonScriptTurn(cores),
    ]
    load = LoadPlan(bench.clients, plan.warm_up_s, plan.peer_s)
    entries = run_contest(contenders, _material(bench), load, plan.peer_rounds, bench.say)
    for line in summary(entries):
        bench.say(line)
    if failed := [entry.title for entry in entries.values() if entry.failed]:
        raise PhaseFailed(f"not measured: {', '.join(failed)}")
    figures, details = ratios(entries), {name: _told(entry) for name, entry in entries.items()}
    return Findings(
        {key: figures[key] for key in ("over_best_peer", "over_common_script") if figures[key] is not None},
        {"peers": {**figures, "contenders": details, "plan": asdict(load)}},
    )


def _material(bench: Bench) -> Material:
    manifest = load_manifest(bench.repository)
    release = load_releases(bench.repository, manifest).serving
    graph = version_directory(bench.repository, release.version) / "model.onnx"
    scorer, videos = open_detector(graph, manifest.letterbox_value), tuple(bench.peer_videos())
    expected = {video: reference(video, scorer) for video in (videos[0], *(_SAMPLES / name for name in _CHECKED))}
    return Material(graph, bench.repository, manifest.letterbox_value, release.labels, videos, expected)


def ratios(entries: Entries, peers: Collection[str] = _PEERS) -> dict[str, Any]:
    """wildgate's videos/s over those of the best of `peers` and of the common script, medians of rounds.

    None where one of the two was not measured, or one of `peers`: the best of some peers is not the best peer.
    """
    everybody = all(name in entries and entries[name].measured for name in peers)
    best = max(peers, key=lambda name: entries[name].median_per_s) if everybody and peers else None
    return {
        "best_peer": best,
        "over_best_peer": _ratio(entries, _WILDGATE, best),
        "over_common_script": _ratio(entries, _WILDGATE, _COMMON_SCRIPT),
        "uri_over_best_peer": _ratio(entries, _WILDGATE_URI, best),
        "uri_over_common_script": _ratio(entries, _WILDGATE_URI, _COMMON_SCRIPT),
        # By processor time of the servers alone, which hardly minds what else the machine does.
        "processor_time_of_best_peer_over_wildgate": _ratio(entries, best, _WILDGATE, "cpu_ms_per_video"),
    }


def _ratio(entries: Entries, above: str | None, below: str | None, figure: str = "videos_per_s") -> float | None:
    found = [entries[name] for name in (above, below) if name and name in entries and entries[name].measured]
    if len(found) < 2:
        return None
    over, under = ([getattr(each, figure) for each in entry.rounds] for entry in found)
    return round(Spread.ratios(over, under).median, 3)


def summary(entries: Entries) -> list[str]:
    """A line for everybody, the fastest first."""
    lines = []
    for entry in sorted(entries.values(), key=lambda entry: entry.median_per_s, reverse=True):
        if not entry.measured:
            lines.append(f"{entry.title}: {'absent' if entry.absent else 'failed'}")
            continue
        tail = [each.took_p99_ms for each in entry.rounds if each.took_p99_ms is not None]
        lines.append(
            f"{entry.title}: {entry.median_per_s:.2f} videos/s, p99 {f'{max(tail):.0f} ms' if tail else '-'}, "
            f"{Spread.of(each.cpu_ms_per_video for each in entry.rounds).median:.0f} ms of processor a video, "
            f"scores off by {max(each.off_by for each in entry.rounds):.3f} (up to {entry.tolerance:g} allowed)"
        )
    return lines


def _told(entry: Entry) -> dict[str, Any]:
    told: dict[str, Any] = {"title": entry.title, "tolerance": entry.tolerance, **entry.facts}
    if entry.absent:
        return told | {"absent": first_line(entry.absent)}
    for figure in ("videos_per_s", "cpu_ms_per_video"):
        told[figure] = Spread.of(getattr(each, figure) for each in entry.rounds).as_json()
    return told | {"rounds": [asdict(each) for each in entry.rounds]}
