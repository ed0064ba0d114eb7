"""The phase `peers` of the benchmark: wildgate's videos per second over those of others, which take turns with it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import grpc

from wildgate_perf.bench.peers.agreement import check, reference
from wildgate_perf.bench.peers.contenders import CONTENDERS, PEERS, Contender, Material
from wildgate_perf.bench.peers.scorer import Scorer
from wildgate_perf.bench.phase import Bench, Findings, Observed, PhaseFailed, per_s, rounds_as_json
from wildgate_perf.load_generator import LoadFailed
from wildgate_perf.spread import Spread
from wildgate_server.repository.manifest import load_manifest
from wildgate_server.repository.releases import load_releases, version_directory

_SAMPLES = Path(__file__).resolve().parents[4] / "samples"
_CHECKED = ("elephant_then_tusk.mp4", "tiger_passing.mp4", "tusks_on_a_table.mp4")
"""Besides a measured video, answers are checked on these: animals and products, upright and keyframes every 2 s."""

Rounds = Mapping[str, Sequence[Observed]]


@dataclass
class Contest:
    """What came of all turns, by name: rounds, and the largest score difference."""

    rounds: dict[str, list[Observed]] = field(default_factory=dict)
    off_by: dict[str, float] = field(default_factory=dict)


def over_peers(bench: Bench) -> Findings:
    """Both ratios. Raises PhaseFailed where one is not installed, does not start, answers wrongly or not at all."""
    facts = {
        name: {"title": each.title, "versions": versions(each), "tolerance": each.tolerance, **each.facts}
        for name, each in CONTENDERS.items()
    }
    contest = run_contest(CONTENDERS, _material(bench))
    for line in summary(CONTENDERS, contest):
        bench.say(line)
    figures = ratios(contest.rounds)
    details = {**figures, "contenders": facts, "off_by": contest.off_by, **rounds_as_json(contest.rounds)}
    return Findings({key: figures[key] for key in ("over_best_peer", "over_common_script")}, {"peers": details})


def versions(contender: Contender) -> dict[str, str]:
    """The versions of what it is made of. Raises PhaseFailed naming the first that is not installed."""
    try:
        return {package: version(package) for package in contender.packages}
    except PackageNotFoundError as error:
        raise PhaseFailed(f"{error.name} is not installed: make bench-peers installs it") from None


def _material(bench: Bench) -> Material:
    manifest = load_manifest(bench.repository)
    release = load_releases(bench.repository, manifest).serving
    graph = version_directory(bench.repository, release.version) / "model.onnx"
    scorer, videos = Scorer(graph, manifest.letterbox_value), tuple(bench.videos(bench.plan.peer_videos))
    expected = {video: reference(video, scorer) for video in (videos[0], *(_SAMPLES / name for name in _CHECKED))}
    return Material(bench, graph, manifest.letterbox_value, release.labels, videos, expected)


def run_contest(contenders: Mapping[str, Contender], material: Material) -> Contest:
    """Every contender takes its turn in every round, each round beginning with another one.

    Raises PhaseFailed when one does not start, answers wrongly or fails to answer, naming it.
    """
    contest, plan, say, names = Contest(), material.bench.plan, material.bench.say, list(contenders)
    for number in range(plan.peer_rounds):
        first = number * max(1, len(names) // plan.peer_rounds) % len(names)
        for name in (*names[first:], *names[:first]):
            contender, began = contenders[name], time.monotonic()
            try:
                with contender.start(material) as (answer, way):
                    off_by = check(material.expected, answer, contender.tolerance)
                    seen = way.round(plan.warm_up_s, plan.peer_s)
            except (PhaseFailed, LoadFailed, grpc.RpcError, ValueError) as error:
                raise PhaseFailed(f"{contender.title}: {error}") from error
            contest.rounds.setdefault(name, []).append(seen)
            contest.off_by[name] = max(off_by, contest.off_by.get(name, 0.0))
            say(
                f"round {number + 1}: {contender.title}: {seen.measured.per_s:.2f} videos/s, "
                f"{server_cpu_ms(seen):.0f} ms of processor a video ({time.monotonic() - began:.0f} s)"
            )
    return contest


def server_cpu_ms(seen: Observed) -> float:
    """Processor milliseconds per video, of the server alone; of all where there is no server."""
    return (seen.used.total_s or seen.measured.cpu_s) * 1e3 / seen.measured.answered


def ratios(rounds: Rounds, peers: Collection[str] = tuple(PEERS)) -> dict[str, Any]:
    """wildgate's videos/s over those of the best of `peers` and of the common script, medians of rounds."""

    def ratio(above: str, below: str) -> float:
        return round(Spread.ratios(per_s(rounds[above]), per_s(rounds[below])).median, 3)

    best = max(peers, key=lambda name: Spread.of(per_s(rounds[name])).median)
    # By processor time of the servers alone, which hardly minds what else the machine does.
    cost = Spread.ratios(*(map(server_cpu_ms, rounds[name]) for name in (best, "wildgate")))
    return {
        "best_peer": best,
        "over_best_peer": ratio("wildgate", best),
        "over_common_script": ratio("wildgate", "common_script"),
        "uri_over_best_peer": ratio("wildgate_uri", best),
        "uri_over_common_script": ratio("wildgate_uri", "common_script"),
        "processor_time_of_best_peer_over_wildgate": round(cost.median, 3),
    }


def summary(contenders: Mapping[str, Contender], contest: Contest) -> list[str]:
    """A line for everybody, the fastest first."""
    speeds = {name: Spread.of(per_s(rounds)).median for name, rounds in contest.rounds.items()}
    lines = []
    for name in sorted(speeds, key=speeds.__getitem__, reverse=True):
        rounds, each = contest.rounds[name], contenders[name]
        slowest_ms = max(seen.measured.took_ms(0.99) for seen in rounds)
        lines.append(
            f"{each.title}: {speeds[name]:.2f} videos/s, p99 {slowest_ms:.0f} ms, "
            f"{Spread.of(map(server_cpu_ms, rounds)).median:.0f} ms of processor a video, "
            f"scores off by {contest.off_by[name]:.3f} (up to {each.tolerance:g} allowed)"
        )
    return lines
