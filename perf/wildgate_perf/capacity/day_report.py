"""A simulated day as a table and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import pyplot
from matplotlib.figure import Figure

from wildgate_perf.bench.picture import BLUE, GREEN, GREY, RED, STYLE
from wildgate_perf.capacity.day import Day


def day_as_json(day: Day, p99_ms: float | None) -> dict[str, Any]:
    """The figures of the day; `p99_ms` is the objective, if there is one."""
    hour, worst_ms = day.worst()
    tiers = list(day.steps[0].nodes)
    late = [steps for steps in day.minutes() if p99_ms is not None and day.latency_ms(0.99, steps) > p99_ms]
    return {
        "videos": day.videos,
        "nodes": {tier: _span([step.nodes[tier] for step in day.steps]) for tier in tiers},
        "node_hours": {tier: day.node_hours(tier) for tier in tiers},
        "p50_ms": day.latency_ms(0.5),
        "p99_ms": day.latency_ms(0.99),
        "worst_p99_ms": worst_ms,
        "worst_hour": hour,
        "minutes_past_p99_ms": None if p99_ms is None else 5 * len(late),
        "refused": day.refused,
        "refused_share": day.refused / day.videos,
        "minutes_with_refusals": sum(step.refused > 0 for step in day.steps) * day.options.scale_every_s / 60,
        "asked_again": day.asked_again,
        "cost": day.cost,
        "cost_per_million": None if day.cost is None else day.cost / day.videos * 1e6,
    }


def day_rows(found: dict[str, Any]) -> dict[str, str]:
    """The same in words, a figure a line."""
    rows = {"demand": f"{found['videos']:,.0f} videos"}
    for tier, (least, most) in found["nodes"].items():
        rows[f"{tier}s"] = f"{least:,} to {most:,}, {found['node_hours'][tier]:,.0f} node-hours"
    hour = found["worst_hour"]
    rows["latency"] = f"p50 {found['p50_ms']:.0f} ms, p99 {found['p99_ms']:.0f} ms"
    rows["worst five minutes"] = f"p99 {found['worst_p99_ms']:.0f} ms at {int(hour):02}:{round(hour % 1 * 60):02}"
    if found["minutes_past_p99_ms"] is not None:
        rows["past the objective"] = f"{found['minutes_past_p99_ms']} minutes"
    minutes = f"within {found['minutes_with_refusals']:g} minutes"
    rows["refused"] = f"{found['refused']:,.0f} videos ({found['refused_share']:.3%}), {minutes}"
    rows["asked again"] = f"{found['asked_again']:,.0f} videos, which the lost zone had"
    if found["cost"] is not None:
        rows["cost"] = f"{found['cost']:,.2f}, {found['cost_per_million']:,.2f} per million videos"
    return rows


def draw_day(day: Day, file: Path) -> None:
    """Draws demand and capacity, nodes, and latency with refusals over the day."""
    minutes = day.minutes()
    hours = [steps[0].hour for steps in minutes]
    with pyplot.rc_context(STYLE):
        figure = Figure(figsize=(10, 8), layout="constrained")
        load, nodes, latency = figure.subplots(3, 1, sharex=True)
        load.plot(hours, [steps[0].offered_per_s for steps in minutes], color=BLUE, label="asked")
        load.plot(
            hours, [min(step.peak_per_s for step in steps) for steps in minutes], color=GREY, label="could be done"
        )
        load.set(ylabel="videos/s", title="Demand and capacity", ylim=(0, None))
        for tier, colour in zip(day.steps[0].nodes, (GREEN, BLUE), strict=False):
            nodes.plot(hours, [steps[0].nodes[tier] for steps in minutes], color=colour, label=f"{tier}s")
        nodes.plot(hours, [max(step.starting for step in steps) for steps in minutes], ":", color=RED, label="starting")
        nodes.set(ylabel="nodes", title="Nodes, those that start included", ylim=(0, None))
        for share, colour in ((0.5, BLUE), (0.99, RED)):
            took_ms = [day.latency_ms(share, steps) for steps in minutes]
            latency.plot(hours, took_ms, color=colour, label=f"p{share * 100:.0f}")
        latency.set(yscale="log", ylabel="ms", xlabel="hour", title="Latency, and where videos are refused (shaded)")
        refusing = [max(step.refused for step in steps) > 0 for steps in minutes]
        latency.fill_between(hours, 0, 1, where=refusing, transform=latency.get_xaxis_transform(), color=RED, alpha=0.2)
        for axes in (load, nodes, latency):
            axes.legend(loc="upper left")
        latency.set_xlim(0, 24)
        figure.savefig(file, metadata={"Date": None})


def _span(nodes: list[int]) -> tuple[int, int]:
    return min(nodes), max(nodes)
