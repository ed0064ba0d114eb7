"""Plans and checks as people read them: tables for the terminal, and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from wildgate_perf.capacity.check import Compared, Pair, mean_error
from wildgate_perf.capacity.errors import CapacityError
from wildgate_perf.capacity.latency import LatencyModel
from wildgate_perf.capacity.plan import FleetPlan, plan_fleet
from wildgate_perf.capacity.profile import Profile
from wildgate_perf.pictures import COLOURS, GREY, picture

__all__ = ["PICTURE", "check_table", "draw_plan", "plan_table"]

PICTURE = "capacity"
_STEPS = 120
_UP_TO = 3.0  # times the demand
_TALLEST = 4.0  # times the latency at the demand


def plan_table(plan: FleetPlan) -> Table:
    """The fleet, one figure a line."""
    demand = plan.demand
    table = Table("figure", "value", box=box.SIMPLE_HEAD)
    busy = f"{plan.utilisation_at_peak:.0%}; without the spare {plan.utilisation_without_spare:.0%}"
    latency = (
        f"p50 {_ms(plan.p50_ms_at_peak)}, p99 {_ms(plan.p99_ms_at_peak)}; "
        f"without the spare p99 {_ms(plan.p99_ms_without_spare)} ({plan.latency_model})"
    )
    headroom = (
        f"{plan.headroom:.2f} times the peak as allowed, "
        f"{plan.headroom_to_saturation:.2f} times until videos are refused"
    )
    rows = [
        ("demand", f"{demand.videos_per_day:,.0f} videos a day, {demand.peak_per_s:,.1f}/s at the peak"),
        ("work of a video", f"{plan.work_s * 1e3:.2f} node-ms on average"),
        ("nodes", f"{plan.nodes:,} ({plan.carrying_nodes:,} to carry the peak, {demand.spare_nodes} spare)"),
        ("utilisation allowed", f"{plan.allowed_utilisation:.0%}{_why(plan)}"),
        ("utilisation at the peak", busy),
        ("latency at the peak", latency),
        ("headroom", headroom),
        ("bandwidth at the peak", f"{_bits(plan.bits_in_per_s)} in, {_bits(plan.bits_out_per_s)} out"),
    ]
    if plan.cost_per_million is not None and plan.cost_per_million_if_scaled is not None:
        rows.append(
            (
                "cost per million videos",
                f"{plan.cost_per_million:.2f} standing all day, at least {plan.cost_per_million_if_scaled:.2f} "
                "if it follows the load",
            )
        )
    for row in rows:
        table.add_row(*row)
    return table


def check_table(compared: Sequence[Compared]) -> Table:
    """Predicted / measured (error) of every load, and the mean size of the errors by model at the end."""
    table = Table("load", "by", "utilisation", "answered/s", "p50 ms", "p99 ms", box=box.SIMPLE_HEAD)
    for row in compared:
        table.add_row(
            row.about,
            row.model,
            _pair(row.utilisation, ".2f"),
            _pair(row.answered_per_s, ".2f"),
            _pair(row.p50_ms, ".0f"),
            _pair(row.p99_ms, ".0f"),
        )
    for model in dict.fromkeys(row.model for row in compared):
        own = [row for row in compared if row.model == model]
        table.add_section()
        table.add_row(
            "mean size of errors",
            model,
            _share(mean_error([row.utilisation for row in own])),
            _share(mean_error([row.answered_per_s for row in own])),
            _share(mean_error([row.p50_ms for row in own])),
            _share(mean_error([row.p99_ms for row in own])),
        )
    return table


def draw_plan(folder: Path, profile: Profile, plan: FleetPlan, model: LatencyModel) -> None:
    """Nodes that a demand needs, and the planned fleet's latency as the demand changes; `capacity.png` and `.svg`."""
    demand = plan.demand
    days = [demand.videos_per_day * _UP_TO * step / _STEPS for step in range(1, _STEPS + 1)]
    needed = [_nodes(profile, plan, day, model) for day in days]
    loads = [plan.utilisation_at_peak * day / demand.videos_per_day for day in days]
    with picture(folder, PICTURE, rows=2, size=(7.5, 6.5)) as (nodes, latency):
        nodes.step([day / 1e6 for day in days], needed, where="mid", marker="", color=COLOURS[0])
        nodes.set(title="nodes needed", ylabel=f"nodes, {demand.spare_nodes} of them spare", ylim=(0, None))
        for name, values, colour in (
            ("p50", [model.p50_ms(load) for load in loads], COLOURS[0]),
            ("p99", [model.p99_ms(load) for load in loads], COLOURS[1]),
        ):
            known = [(day / 1e6, value) for day, value in zip(days, values, strict=True) if value is not None]
            latency.plot([day for day, _ in known], [value for _, value in known], label=name, marker="", color=colour)
        saturated = demand.videos_per_day / plan.utilisation_at_peak / 1e6
        if saturated <= days[-1] / 1e6:
            latency.axvline(saturated, color=GREY, marker="", label="saturated")
        if demand.p99_ms is not None:
            latency.axhline(demand.p99_ms, color=COLOURS[3], linestyle="--", marker="", label="objective")
        latency.set(
            title="latency",
            xlabel=f"million videos a day, to {plan.nodes:,} nodes; latency at the peak of the day",
            ylabel=f"ms, by the {plan.latency_model}",
            # A queue's latency knows no bound near saturation; what matters is around the demand.
            ylim=(0, _TALLEST * max(plan.p99_ms_at_peak or 0.0, demand.p99_ms or 0.0) or None),
        )
        for axes in (nodes, latency):
            axes.set_xlim(0, days[-1] / 1e6)
            axes.axvline(demand.videos_per_day / 1e6, color=GREY, linestyle=":", marker="", label="demand")
            axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=5, borderaxespad=0.2, handlelength=1.4)


def _nodes(profile: Profile, plan: FleetPlan, videos_per_day: float, model: LatencyModel) -> float:
    demand = plan.demand.model_copy(update={"videos_per_day": videos_per_day})
    try:
        return plan_fleet(profile, demand, model).nodes
    except CapacityError:
        return float("nan")


def _why(plan: FleetPlan) -> str:
    if plan.demand.p99_ms is None or plan.allowed_utilisation == plan.demand.target_utilisation:
        return ""
    return f", where p99 keeps {plan.demand.p99_ms:g} ms"


def _pair(pair: Pair, form: str) -> str:
    parts = ["-" if value is None else format(value, form) for value in (pair.predicted, pair.measured)]
    return " / ".join(parts) + ("" if pair.error is None else f" ({pair.error:+.0%})")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f} ms"


def _bits(bits_per_s: float) -> str:
    for unit, size in (("Tbit/s", 1e12), ("Gbit/s", 1e9)):
        if bits_per_s >= size:
            return f"{bits_per_s / size:.2f} {unit}"
    return f"{bits_per_s / 1e6:.2f} Mbit/s"
