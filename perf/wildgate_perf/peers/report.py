"""What came of the contest: JSON, a table and a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from rich import box
from rich.table import Table

from wildgate_perf.failure_text import first_line
from wildgate_perf.peers.contenders import PEERS
from wildgate_perf.peers.contest import Entry
from wildgate_perf.peers.peer_setup import PeerFailed
from wildgate_perf.pictures import COLOURS, GREY, picture
from wildgate_perf.spread import Spread

WILDGATE, WILDGATE_URI, COMMON_SCRIPT = "wildgate", "wildgate_uri", "common_script"
Entries: TypeAlias = Mapping[str, Entry]
_PEERS = {peer.name: peer.title for peer in PEERS}


def unmeasured(entries: Entries, peers: Mapping[str, str] = _PEERS) -> list[str]:
    """The titles of all who were not measured, or are among `peers` (titles by name) and did not take part."""
    missing = [entry.title for entry in entries.values() if not entry.measured]
    return missing + [title for name, title in peers.items() if name not in entries]


def results(
    entries: Entries,
    machine: Mapping[str, Any],
    plan: Mapping[str, Any],
    measured: str,
    peers: Mapping[str, str] = _PEERS,
) -> dict[str, Any]:
    """All that peers.json holds; `measured` is when (ISO 8601), `peers` are those who have to take part.

    `over_best_peer` and `over_common_script` are wildgate's videos/s, asked with bytes, over theirs, medians of rounds.
    They are None where one of `peers` was not measured: the best of some peers is not the best peer.
    """
    everybody = all(name in entries and entries[name].measured for name in peers)
    best = max(peers, key=lambda name: _median(entries[name])) if everybody and peers else None
    return {
        "measured": measured,
        "over_best_peer": _ratio(entries, WILDGATE, best),
        "over_common_script": _ratio(entries, WILDGATE, COMMON_SCRIPT) if everybody else None,
        "best_peer": best,
        "uri_over_best_peer": _ratio(entries, WILDGATE_URI, best),
        "uri_over_common_script": _ratio(entries, WILDGATE_URI, COMMON_SCRIPT),
        # By processor time of the servers alone, which hardly minds what else the machine does.
        "processor_time_of_best_peer_over_wildgate": _ratio(entries, best, WILDGATE, "cpu_ms_per_video"),
        "contenders": {name: _contender(entry) for name, entry in entries.items()},
        "notes": notes(entries, peers),
        "machine": dict(machine),
        "plan": dict(plan),
    }


def notes(entries: Entries, peers: Mapping[str, str] = _PEERS) -> list[str]:
    """What has to be known to read the table."""
    tolerances = ", ".join(f"{entry.title} {entry.tolerance:g}" for entry in entries.values())
    other_load = max((each.other_load_cores for entry in entries.values() for each in entry.rounds), default=0.0)
    found = [
        "same videos, ONNX file, cores and clients; one contender runs at a time, medians over rounds that take turns",
        "peers decode keyframes only, straight to the detector's size; each as its documentation has it, tuned",
        "wildgate's cache is off, and it does what peers do not: isolation, validation, policy, deadlines, admission",
        "wildgate's decoder leaves out deblocking on keyframes that shrink at least threefold; peers' do not",
        f"checked against a full decode; a score may be off by: {tolerances}",
        "off by: the largest difference of a score that was seen",
        f"other processes kept up to {other_load:.1f} cores busy meanwhile",
    ]
    for entry in entries.values():
        found += [f"{entry.title} was absent: {first_line(entry.absent)}"] if entry.absent else []
        found += [f"{entry.title} failed: {first_line(entry.failed)}"] if entry.failed else []
    if missing := unmeasured(entries, peers):
        found.append(f"no figure goes into latest.json, since these were not measured: {', '.join(missing)}")
    return found


def contest_table(entries: Entries) -> Table:
    """Everybody, the fastest first; those who were not measured stand last, and why in the notes."""
    columns = ("", "videos/s", "rounds", "p50 ms", "p99 ms", "CPU ms/video", "off by")
    table = Table(*columns, box=box.SIMPLE_HEAD, title="wildgate and its peers", title_justify="left")
    for entry in sorted(entries.values(), key=_median, reverse=True):
        if not entry.measured:
            table.add_row(entry.title, "absent" if entry.absent else "[red]failed[/]")
            continue
        speeds = [each.videos_per_s for each in entry.rounds]
        table.add_row(
            entry.title,
            f"{_median(entry):.2f}",
            f"{min(speeds):.1f} to {max(speeds):.1f}",
            *(_middle(entry, figure) for figure in ("took_p50_ms", "took_p99_ms", "cpu_ms_per_video")),
            f"{max(each.off_by for each in entry.rounds):.3f}",
        )
    return table


def contest_picture(entries: Entries, folder: Path, name: str = "peers") -> None:
    """Bars of the medians with every round on them, as `name`.svg."""
    shown = sorted((item for item in entries.items() if item[1].measured), key=lambda item: _median(item[1]))
    with picture(folder, name, size=(7.5, 1.2 + 0.42 * len(shown))) as (axes,):
        for place, (key, entry) in enumerate(shown):
            ours, median = key in (WILDGATE, WILDGATE_URI), _median(entry)
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
        for figure in ("videos_per_s", "cpu_ms_per_video"):
            told[figure] = Spread.of(getattr(each, figure) for each in entry.rounds).as_json()
        told["rounds"] = [asdict(each) for each in entry.rounds]
    return told


def _ratio(entries: Entries, above: str | None, below: str | None, figure: str = "videos_per_s") -> float | None:
    """The median over rounds of one's figure over another's; None where one of them was not measured."""
    found = [entries[name] for name in (above, below) if name and name in entries and entries[name].measured]
    if len(found) < 2:
        return None
    over, under = ([getattr(each, figure) for each in entry.rounds] for entry in found)
    return round(Spread.ratios(over, under).median, 3)


def _median(entry: Entry) -> float:
    return Spread.of(each.videos_per_s for each in entry.rounds).median if entry.measured else -1.0


def _middle(entry: Entry, figure: str) -> str:
    values = [value for each in entry.rounds if (value := getattr(each, figure)) is not None]
    return f"{Spread.of(values).median:.0f}" if values else "-"
