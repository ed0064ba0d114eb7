"""The pictures of docs/performance.md that `make bench` draws, from its results alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from wildgate_perf.pictures import COLOURS, GREY, picture

# Processes in the order of a video's way, each with one colour in all pictures.
_PARTS = {
    "load generator": GREY,
    "gateway": COLOURS[0],
    "sampling workers": COLOURS[5],
    "tritonserver": COLOURS[4],
    "decoder stubs": COLOURS[2],
    "detector stubs": COLOURS[1],
    "sampling": COLOURS[5],
    "decoding": COLOURS[2],
    "detecting": COLOURS[1],
    "policy": COLOURS[3],
    "rest": "#bbbbbb",
}
_OFFLINE_KEYS = {"served_over_offline_uri": "5 MB by file: URI", "served_over_offline_content": "8 MB as bytes"}


def draw_pictures(details: Mapping[str, Any], folder: Path) -> list[str]:
    """Draws what `details` has figures for; returns the pictures' names."""
    drawn = []
    drawers: dict[str, tuple[Callable[[Mapping[str, Any], Path, str], None], set[str]]] = {
        "served_over_offline": (_draw_rounds, set(_OFFLINE_KEYS)),
        "processor_time": (_draw_processor_time, set(_OFFLINE_KEYS)),
        "latency_over_load": (_draw_load, {"latency_over_load"}),
    }
    for name, (draw, needs) in drawers.items():
        if needs <= details.keys():
            draw(details, folder, name)
            drawn.append(name)
    return drawn


def _draw_rounds(details: Mapping[str, Any], folder: Path, name: str) -> None:
    with picture(folder, name) as (axes,):
        for place, (key, title) in enumerate(_OFFLINE_KEYS.items()):
            found = details[key]
            for offset, way, colour in ((-0.2, "offline", GREY), (0.2, "served", COLOURS[0])):
                rate = found[f"{way}_per_s"]
                axes.bar(place + offset, rate["median"], 0.36, color=colour, label=way if place == 0 else None)
                rounds = rate["rounds"]
                axes.plot([place + offset] * len(rounds), rounds, "o", color="black", markersize=3)
            axes.annotate(
                f"{found['ratio']['median']:.2f}",
                (place + 0.2, found["served_per_s"]["median"]),
                xytext=(0, 8),
                textcoords="offset points",
                ha="center",
            )
            axes.text(place, -0.08, title, transform=axes.get_xaxis_transform(), ha="center", va="top")
        axes.set_xticks([])
        axes.set_ylabel("videos/s")
        axes.set_title("The full server against the same work without a server (dots: rounds)")
        axes.margins(y=0.2)
        axes.legend(loc="upper center", ncols=2)


def _draw_processor_time(details: Mapping[str, Any], folder: Path, name: str) -> None:
    rows = {
        f"{way}, {title}": details[key]["cpu_ms_per_video"][way]
        for key, title in _OFFLINE_KEYS.items()
        for way in ("offline", "served")
    }
    with picture(folder, name, size=(8.5, 3.6)) as (axes,):
        named: set[str] = set()
        for place, parts in enumerate(rows.values()):
            left = 0.0
            others = sum(ms for part, ms in parts.items() if part not in _PARTS)
            for part, colour in _PARTS.items():
                ms = parts.get(part, 0.0) + (others if part == "rest" else 0.0)
                if ms > 0:
                    label = None if colour in named else _LEGEND.get(part, part)
                    axes.barh(place, ms, left=left, color=colour, label=label, height=0.6)
                    named.add(colour)
                    left += ms
            axes.text(left, place, f" {left:.0f} ms", va="center")
        axes.set_yticks(range(len(rows)), list(rows))
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_xlabel("processor time for each video, ms")
        axes.set_title("Where the processor time goes")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)


_LEGEND = {"sampling workers": "sampling", "decoder stubs": "decoding", "detector stubs": "detecting"}


def _draw_load(details: Mapping[str, Any], folder: Path, name: str) -> None:
    found = details["latency_over_load"]
    points = found["points"]
    offered = [point["offered_per_s"] for point in points]
    peak = found["peaks_per_s"]["median"]
    with picture(folder, name, columns=2, size=(10, 4)) as (latency, goodput):
        for share, colour, mark in (("p50_ms", COLOURS[0], "o"), ("p99_ms", COLOURS[1], "s")):
            answered = [(rate, point[share]) for rate, point in zip(offered, points, strict=True) if point[share]]
            latency.plot(*zip(*answered, strict=True), linestyle="none", marker=mark, color=colour, label=share[:3])
        latency.set_yscale("log")
        latency.set_ylabel("latency from when it was due, ms")
        latency.set_title("Latency of answers")
        goodput.plot([0, peak, max(offered)], [0, peak, peak], color=GREY, marker="", label="ideal")
        goodput.plot(
            offered, [point["good_per_s"] for point in points], linestyle="none", color=COLOURS[2], label="good answers"
        )
        goodput.set_ylabel("verdicts in time, videos/s")
        goodput.set_ylim(bottom=0)
        goodput.set_title(f"Goodput (in time: {found['deadline_s']:g} s)")
        for axes in (latency, goodput):
            axes.axvline(peak, color=GREY, linestyle=":", linewidth=1)
            axes.set_xlabel("offered load, videos/s (dotted: peak)")
            axes.legend()
