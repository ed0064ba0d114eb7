"""What came of the contest: JSON, a table and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from wildgate_perf.failure_text import first_line
from wildgate_perf.peers.contenders import PEERS
from wildgate_perf.peers.contest import Contest, Entry, Round
from wildgate_perf.peers.peer_setup import PeerFailed
from wildgate_perf.pictures import COLOURS, GREY, picture
from wildgate_perf.spread import Spread

__all__ = [
    "COMMON_SCRIPT",
    "WILDGATE",
    "best_peer",
    "contest_picture",
    "contest_table",
    "figures",
    "notes",
    "results",
    "unmeasured",
]

WILDGATE, WILDGATE_URI, COMMON_SCRIPT = "wildgate", "wildgate_uri", "common_script"
_PEERS = {peer.name: peer.title for peer in PEERS}


def best_peer(contest: Contest) -> str | None:
    """The served peer with the highest median, wildgate and the script aside; None where none was measured."""
    peers = {
        name: _median(entry)
        for name, entry in contest.entries.items()
        if _measured(entry) and name not in (WILDGATE, WILDGATE_URI, COMMON_SCRIPT)
    }
    return max(peers, key=lambda name: peers[name]) if peers else None


def unmeasured(contest: Contest, peers: Mapping[str, str] = _PEERS) -> list[str]:
    """The titles of all who are absent or failed, or are among `peers` (titles by name) and did not take part."""
    entries = contest.entries
    missing = [entry.title for entry in entries.values() if entry.absent or entry.failed or not entry.rounds]
    return missing + [title for name, title in peers.items() if name not in entries]


def figures(contest: Contest, peers: Mapping[str, str] = _PEERS) -> dict[str, float | None]:
    """`over_best_peer` and `over_common_script`: wildgate's videos/s, asked with bytes, over theirs, medians of rounds.

    None where one of the two was not measured in every round, or any of `peers` (titles by name) was not: the best of
    some peers is not the best peer.
    """
    everybody = _all_measured(contest, peers)
    return {
        "over_best_peer": _ratio(contest, WILDGATE, best_peer(contest)) if everybody else None,
        "over_common_script": _ratio(contest, WILDGATE, COMMON_SCRIPT) if everybody else None,
    }


def results(
    contest: Contest,
    machine: Mapping[str, Any],
    plan: Mapping[str, Any],
    measured: str,
    peers: Mapping[str, str] = _PEERS,
) -> dict[str, Any]:
    """All that peers.json holds; `measured` is when (ISO 8601), `peers` are who is to take part, titles by name."""
    best = best_peer(contest) if _all_measured(contest, peers) else None
    return {
        "measured": measured,
        **figures(contest, peers),
        "best_peer": best,
        "uri_over_best_peer": _ratio(contest, WILDGATE_URI, best),
        "uri_over_common_script": _ratio(contest, WILDGATE_URI, COMMON_SCRIPT),
        "processor_time_of_best_peer_over_wildgate": _processor_ratio(contest, best),
        "contenders": {name: _contender(entry) for name, entry in contest.entries.items()},
        "notes": list(notes(contest, peers)),
        "machine": dict(machine),
        "plan": dict(plan),
    }


def notes(contest: Contest, peers: Mapping[str, str] = _PEERS) -> Sequence[str]:
    """What has to be known to read the table."""
    tolerances = ", ".join(f"{entry.title} {entry.tolerance:g}" for entry in contest.entries.values())
    return (
        "same videos, ONNX file, cores and askers; one contender runs at a time, medians over rounds that take turns",
        "peers decode keyframes only, straight to the detector's size; each as its documentation has it, tuned",
        "wildgate's cache is off, and it does what peers do not: isolation, validation, policy, deadlines, admission",
        "wildgate's decoder leaves out deblocking on keyframes that shrink at least threefold; peers are not given it",
        f"checked against a full decode; a score may be off by: {tolerances}",
        "off by: the largest difference of a score that was seen",
        f"other processes kept up to {_other_load(contest):.1f} cores busy meanwhile",
        *(
            f"{entry.title} was absent: {first_line(entry.absent)}"
            for entry in contest.entries.values()
            if entry.absent
        ),
        *(f"{entry.title} failed: {first_line(entry.failed)}" for entry in contest.entries.values() if entry.failed),
        *(
            [f"no figure goes into latest.json, since not everybody was measured: {', '.join(missing)} missing"]
            if (missing := unmeasured(contest, peers))
            else []
        ),
    )


def contest_table(contest: Contest) -> Table:
    """Everybody, the fastest first; who was not measured stands last, and why in the notes."""
    columns = ("", "videos/s", "rounds", "p50 ms", "p99 ms", "CPU ms/video", "off by")
    table = Table(*columns, box=box.SIMPLE_HEAD, title="wildgate and its peers", title_justify="left")
    for entry in sorted(contest.entries.values(), key=_median, reverse=True):
        if entry.absent or entry.failed:
            table.add_row(entry.title, "absent" if entry.absent else "[red]failed[/]")
            continue
        speeds = [each.videos_per_s for each in entry.rounds]
        table.add_row(
            entry.title,
            f"{_median(entry):.2f}",
            f"{min(speeds):.1f} to {max(speeds):.1f}",
            _middle(entry, "took_p50_ms"),
            _middle(entry, "took_p99_ms"),
            _middle(entry, "cpu_ms_per_video"),
            f"{max(each.off_by for each in entry.rounds):.3f}",
        )
    return table


def contest_picture(contest: Contest, folder: Path, name: str = "peers") -> None:
    """Bars of the medians with every round on them, as `name`.png and `name`.svg."""
    shown = sorted(
        (item for item in contest.entries.items() if item[1].rounds and not item[1].failed),
        key=lambda item: _median(item[1]),
    )
    with picture(folder, name, size=(7.5, 1.2 + 0.42 * len(shown))) as (axes,):
        for place, (key, entry) in enumerate(shown):
            ours = key in (WILDGATE, WILDGATE_URI)
            median = _median(entry)
            axes.barh(place, median, height=0.62, color=COLOURS[0] if ours else GREY, alpha=1 if ours else 0.65)
            speeds = [each.videos_per_s for each in entry.rounds]
            axes.plot(speeds, [place] * len(speeds), linestyle="", marker="|", markersize=12, color=COLOURS[7])
            axes.annotate(f"{median:.1f}", (max(speeds), place), xytext=(6, 0), textcoords="offset points", va="center")
        axes.set_yticks(range(len(shown)), [entry.title for _, entry in shown])
        axes.grid(visible=False, axis="y")
        axes.set_xlim(left=0)
        axes.margins(x=0.12)
        axes.set_xlabel("videos/s (15 s of 720x1280 H.264; bar: median, ticks: rounds)")
        axes.set_title("The same videos, detector and cores")


def _contender(entry: Entry) -> dict[str, Any]:
    told: dict[str, Any] = {"title": entry.title, "tolerance": entry.tolerance, **entry.facts}
    if entry.absent:
        told["absent"] = first_line(entry.absent)
    if entry.failed:
        told["failed"] = f"{PeerFailed.__name__}: {first_line(entry.failed)}"
    if entry.rounds:
        told["videos_per_s"] = Spread.of(each.videos_per_s for each in entry.rounds).as_json()
        told["cpu_ms_per_video"] = Spread.of(each.cpu_ms_per_video for each in entry.rounds).as_json()
        told["rounds"] = [asdict(each) for each in entry.rounds]
    return told


def _ratio(contest: Contest, above: str, below: str | None) -> float | None:
    pair = [contest.entries.get(name) for name in (above, below) if name is not None]
    found = [entry for entry in pair if entry is not None and _measured(entry)]
    if len(found) < 2:
        return None
    over, under = ([each.videos_per_s for each in entry.rounds] for entry in found)
    return round(Spread.ratios(over, under).median, 3)


def _measured(entry: Entry) -> bool:
    return bool(entry.rounds) and not entry.failed and not entry.absent


def _all_measured(contest: Contest, peers: Mapping[str, str]) -> bool:
    return all(name in contest.entries and _measured(contest.entries[name]) for name in peers)


def _processor_ratio(contest: Contest, best: str | None) -> float | None:
    """The same by processor time of the servers alone, which hardly minds what else the machine does."""
    if best is None or _ratio(contest, WILDGATE, best) is None:
        return None
    peer, ours = ([each.cpu_ms_per_video for each in contest.entries[name].rounds] for name in (best, WILDGATE))
    return round(Spread.ratios(peer, ours).median, 3)


def _median(entry: Entry) -> float:
    return Spread.of(each.videos_per_s for each in entry.rounds).median if entry.rounds and not entry.failed else -1.0


def _other_load(contest: Contest) -> float:
    return max((each.other_load_cores for entry in contest.entries.values() for each in entry.rounds), default=0.0)


def _middle(entry: Entry, what: str) -> str:
    values = [value for each in entry.rounds if (value := _figure(each, what)) is not None]
    return f"{Spread.of(values).median:.0f}" if values else "-"


def _figure(result: Round, what: str) -> float | None:
    value: float | None = getattr(result, what)
    return value
