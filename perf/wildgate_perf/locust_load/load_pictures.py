"""A run in pictures: users, throughput and latency over time; latency against throughput; the server's stages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes

from wildgate_perf.locust_load.figures import AFTER, FiguresBy, per_second
from wildgate_perf.locust_load.kinds import UNKNOWN_DIGEST
from wildgate_perf.locust_load.load_shapes import WARM_UP
from wildgate_perf.locust_load.page import Picture
from wildgate_perf.locust_load.record import RunRecord
from wildgate_perf.locust_load.tally import Outcomes
from wildgate_perf.pictures import COLOURS, GREY, picture

__all__ = ["draw_run"]

_MOST_POINTS = 60  # over time; more would be read as noise
_LEAST_ANSWERS = 8  # of a point, or its percentiles are all the same


def draw_run(folder: Path, record: RunRecord, figures: FiguresBy) -> list[Picture]:
    """Draws what there is to show, as PNG and SVG in `folder`."""
    pictures = []
    if points := _points(record):
        _draw_over_time(folder, record, points)
        _draw_against_throughput(folder, figures, points)
        pictures += [
            Picture("over_time.svg", "Users, requests a second and latency over time"),
            Picture("latency_against_throughput.svg", "Latency against answers a second"),
        ]
    if stages := figures[None, None].outcomes.stages:
        _draw_stages(folder, {name: (d.percentile_ms(0.5), d.percentile_ms(0.95)) for name, d in stages.items()})
        pictures.append(Picture("stages.svg", "The server's own times by stage"))
    return pictures


def _points(record: RunRecord) -> list[tuple[float, float, Outcomes]]:
    """Middle and length, in seconds, and outcomes of all kinds, of stretches of the run; few, and of enough answers."""
    lasted_s, answered = record.ended - record.began, max(1, record.tally.answered)
    length = max(1, math.ceil(lasted_s / _MOST_POINTS), math.ceil(lasted_s * _LEAST_ANSWERS / answered))
    stretches: dict[int, list[Outcomes]] = {}
    for time_s, kinds in per_second(record):
        if time_s < lasted_s:
            stretches.setdefault(int(time_s // length), []).extend(
                came for kind, came in kinds.items() if kind != UNKNOWN_DIGEST
            )
    points = []
    for number, parts in sorted(stretches.items()):
        begins, ends = number * length, min((number + 1) * length, lasted_s)
        points.append(((begins + ends) / 2, ends - begins, Outcomes.sum(parts)))
    return points


def _draw_over_time(folder: Path, record: RunRecord, points: list[tuple[float, float, Outcomes]]) -> None:
    with picture(folder, "over_time", rows=3, size=(7.5, 7.5)) as (users, rates, latencies):
        times = [entry.second - record.began for entry in record.users] + [record.ended - record.began]
        counts = [entry.count for entry in record.users]
        users.step(times, [*counts, counts[-1]], where="post", marker="", color=COLOURS[0])
        users.set(title=f"{record.shape}: users", ylabel="users", ylim=(0, None))

        middles = [middle for middle, _, _ in points]
        for name, colour in (("answered", COLOURS[2]), ("refused", COLOURS[4]), ("failed", COLOURS[1])):
            per_s = [getattr(came, name) / length for _, length, came in points]
            if name == "answered" or any(per_s):
                rates.plot(middles, per_s, label=name, color=colour, markersize=3)
        rates.set(title="requests a second", ylabel="1/s", ylim=(0, None))

        for share, colour in ((0.5, COLOURS[0]), (0.95, COLOURS[4]), (0.99, COLOURS[1])):
            values = [came.latency.percentile_ms(share) for _, _, came in points]
            latencies.plot(middles, values, label=f"p{share * 100:g}", color=colour, markersize=3)
        latencies.set(title="latency of answers", ylabel="ms", xlabel="seconds", ylim=(0, None))
        for axes in (users, rates, latencies):
            axes.set_xlim(0, times[-1])
            for phase_s in _phase_starts(record):
                axes.axvline(phase_s, color=GREY, linewidth=0.8, linestyle=":", marker="")
        for axes in (rates, latencies):
            _legend(axes)


def _draw_against_throughput(
    folder: Path,
    figures: FiguresBy,
    points: list[tuple[float, float, Outcomes]],
) -> None:
    with picture(folder, "latency_against_throughput") as (axes,):
        short = [(came.answered / length, came.latency.percentile_ms(0.5)) for _, length, came in points]
        axes.scatter([x for x, _ in short], [y for _, y in short], s=9, color="#bbbbbb", label="p50, moments")
        phases = [
            found
            for (phase, kind), found in figures.items()
            if kind is None and phase not in (None, WARM_UP, AFTER) and found.outcomes.answered
        ]
        rates = [phase.answered_per_s for phase in phases]
        for name, colour, mark in (("p50", COLOURS[0], "o"), ("p99", COLOURS[1], "s")):
            values = [getattr(phase, f"{name}_ms") for phase in phases]
            axes.plot(rates, values, marker=mark, color=colour, label=f"{name}, phases")
        axes.set(title="latency against throughput", xlabel="answers a second", ylabel="ms")
        axes.set_xlim(0, None)
        axes.set_ylim(0, None)
        _legend(axes)


def _draw_stages(folder: Path, stages: Mapping[str, tuple[float, float]]) -> None:
    with picture(folder, "stages", size=(7.5, 1.2 + 0.4 * len(stages))) as (axes,):
        places = range(len(stages))
        medians, high = zip(*stages.values(), strict=True)
        axes.barh(places, high, height=0.35, color=COLOURS[4], label="p95")
        axes.barh([place + 0.35 for place in places], medians, height=0.35, color=COLOURS[0], label="median")
        axes.set_yticks([place + 0.18 for place in places], list(stages))
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set(title="the server's own times by stage", xlabel="ms")
        _legend(axes)


def _legend(axes: Axes) -> None:
    """Above the picture, beside its title, where no line runs through it."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, borderaxespad=0.2, handlelength=1.4)


def _phase_starts(record: RunRecord) -> list[float]:
    starts, phase = [], None
    for users in record.users:
        if users.phase != phase:
            starts.append(users.second - record.began)
            phase = users.phase
    return starts[1:]
