"""`wildgate capacity`: its options, tables and picture.

Exit status: 0 done, 1 the check's errors are larger than allowed, 2 usage, or a profile, demand or run that cannot be
used.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from wildgate_client.result_table import print_table
from wildgate_perf.capacity.check import Compared, Pair, check_points, check_run, mean_error
from wildgate_perf.capacity.model import FleetPlan, LatencyModel, demand_of, latency_model, plan_fleet
from wildgate_perf.capacity.profile import CapacityError, Profile, read_profile
from wildgate_perf.pictures import COLOURS, GREY, picture
from wildgate_perf.results import LATEST

_MISSED, _USAGE = 1, 2
_STEPS, _UP_TO = 120, 3.0  # of the picture: points, and times the demand
_TALLEST = 4.0  # times the latency at the demand

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

_Profile = Annotated[
    Path, typer.Option(metavar="FILE", help="Results of `make bench` (.json), or a YAML file with a profile's fields.")
]


@app.callback(invoke_without_command=True)
def plan(
    context: typer.Context,
    profile: _Profile = LATEST,
    demand: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML file with these options; options given here go first.")
    ] = None,
    videos_per_day: Annotated[float | None, typer.Option(help="Videos in a day.")] = None,
    peak_factor: Annotated[float | None, typer.Option(help="Peak of the day over its mean. [2]")] = None,
    mean_seconds: Annotated[float | None, typer.Option(help="Length of a video. [15]")] = None,
    mean_bytes: Annotated[float | None, typer.Option(help="Size of a video. [5e6]")] = None,
    cached_share: Annotated[float | None, typer.Option(help="Videos whose verdict is in the cache. [0]")] = None,
    uri_share: Annotated[float | None, typer.Option(help="Videos given by URI, not as content. [1]")] = None,
    digest_first: Annotated[
        bool | None, typer.Option("--digest-first", help="Callers ask by digest before they give a video.")
    ] = None,
    target_utilisation: Annotated[float | None, typer.Option(help="How busy a node may be at the peak. [0.7]")] = None,
    spare_nodes: Annotated[int | None, typer.Option(help="Nodes that may be away at the peak. [1]")] = None,
    p99_ms: Annotated[float | None, typer.Option(help="Latency objective at the peak.")] = None,
    node_price_per_hour: Annotated[
        float | None, typer.Option(help="Price of a node, in any currency; without it there is no cost.")
    ] = None,
    pictures: Annotated[Path, typer.Option(metavar="DIR", help="Where the picture goes.")] = Path("out/capacity"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Nodes, bandwidth, cost and headroom for a demand, from what was measured of one node.

    The package wildgate_perf.capacity explains the model and its sources; `check` holds it against measured loads.
    """
    if context.invoked_subcommand is not None:
        return
    options = context.params
    given = {name: options[name] for name in options if name not in ("profile", "demand", "pictures", "as_json")}
    node, wanted = read_profile(profile), demand_of(demand, given)
    model = latency_model(node)
    fleet = plan_fleet(node, wanted, model)
    _draw(pictures, node, fleet, model)
    if as_json:
        print(json.dumps({**asdict(fleet), "demand": wanted.model_dump()}, indent=2))
        return
    print_table(_plan_table(fleet), sys.stdout)
    print(f"picture: {pictures / 'capacity.svg'}", file=sys.stderr)


@app.command()
def check(
    profile: _Profile = LATEST,
    run: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Summary of a locust run (--summary); default: the profile's own loads."),
    ] = None,
    within: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Exit 1 where the mean error of answers/s, utilisation or p99 is above this share, such as 0.1.",
        ),
    ] = None,
) -> None:
    """Hold the model against measured loads: predicted / measured, and the error."""
    node = read_profile(profile)
    compared = check_points(node) if run is None else check_run(node, run)
    print_table(_check_table(compared), sys.stdout)
    if within is None:
        return
    errors = {
        "answered/s": mean_error([row.answered_per_s for row in compared]),
        "utilisation": mean_error([row.utilisation for row in compared]),
        "p99": mean_error([row.p99_ms for row in compared]),
    }
    missed = {figure: error for figure, error in errors.items() if error is not None and error > within}
    for figure, error in missed.items():
        print(f"{figure}: the mean error is {error:.1%}, more than {within:.1%}", file=sys.stderr)
    if missed or all(error is None for error in errors.values()):
        raise typer.Exit(_MISSED)


def capacity_command(arguments: Sequence[str]) -> int:
    """Runs `wildgate capacity` with these arguments; returns its exit status."""
    try:
        status = app(args=list(arguments), prog_name="wildgate capacity", standalone_mode=True)
    except CapacityError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"wildgate capacity: {error}", markup=False)
        return _USAGE
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else _USAGE
    return status if isinstance(status, int) else 0


def _plan_table(plan: FleetPlan) -> Table:
    """The fleet, one figure a line."""
    demand = plan.demand
    why = "" if demand.p99_ms is None or plan.allowed_utilisation == demand.target_utilisation else demand.p99_ms
    rows = {
        "demand": f"{demand.videos_per_day:,.0f} videos a day, {demand.peak_per_s:,.1f}/s at the peak",
        "work of a video": f"{plan.work_s * 1e3:.2f} node-ms on average",
        "nodes": f"{plan.nodes:,} ({plan.carrying_nodes:,} to carry the peak, {demand.spare_nodes} spare)",
        "utilisation allowed": f"{plan.allowed_utilisation:.0%}" + (f", where p99 keeps {why:g} ms" if why else ""),
        "utilisation at the peak": (
            f"{plan.utilisation_at_peak:.0%}; without the spare {plan.utilisation_without_spare:.0%}"
        ),
        "latency at the peak": (
            f"p50 {_ms(plan.p50_ms_at_peak)}, p99 {_ms(plan.p99_ms_at_peak)}; "
            f"without the spare p99 {_ms(plan.p99_ms_without_spare)} ({plan.latency_model})"
        ),
        "headroom": (
            f"{plan.headroom:.2f} times the peak as allowed, "
            f"{plan.headroom_to_saturation:.2f} times until videos are refused"
        ),
        "bandwidth at the peak": f"{_bits(plan.bits_in_per_s)} in, {_bits(plan.bits_out_per_s)} out",
    }
    if plan.cost_per_million is not None and plan.cost_per_million_if_scaled is not None:
        rows["cost per million videos"] = (
            f"{plan.cost_per_million:.2f} standing all day, at least {plan.cost_per_million_if_scaled:.2f} "
            "if it follows the load"
        )
    table = Table("figure", "value", box=box.SIMPLE_HEAD)
    for row in rows.items():
        table.add_row(*row)
    return table


def _check_table(compared: Sequence[Compared]) -> Table:
    """Predicted / measured (error) of every load, and the mean size of the errors by model at the end."""
    table = Table("load", "by", "utilisation", "answered/s", "p50 ms", "p99 ms", box=box.SIMPLE_HEAD)
    forms = {"utilisation": ".2f", "answered_per_s": ".2f", "p50_ms": ".0f", "p99_ms": ".0f"}
    for row in compared:
        table.add_row(row.about, row.model, *(_pair(getattr(row, name), form) for name, form in forms.items()))
    for model in dict.fromkeys(row.model for row in compared):
        errors = [mean_error([getattr(row, name) for row in compared if row.model == model]) for name in forms]
        table.add_section()
        shares = ("-" if error is None else f"{error:.0%}" for error in errors)
        table.add_row("mean size of errors", model, *shares)
    return table


def _draw(folder: Path, profile: Profile, plan: FleetPlan, model: LatencyModel) -> None:
    """Nodes that a demand needs, and the planned fleet's latency as the demand changes: `capacity.svg`."""
    demand = plan.demand
    days = [demand.videos_per_day * _UP_TO * step / _STEPS for step in range(1, _STEPS + 1)]
    millions = [day / 1e6 for day in days]
    loads = [plan.utilisation_at_peak * day / demand.videos_per_day for day in days]
    with picture(folder, "capacity", rows=2, size=(7.5, 6.5)) as (nodes, latency):
        needed = [_nodes(profile, plan, day, model) for day in days]
        nodes.step(millions, needed, where="mid", marker="", color=COLOURS[0])
        nodes.set(title="nodes needed", ylabel=f"nodes, {demand.spare_nodes} of them spare", ylim=(0, None))
        for share, colour in ((0.5, COLOURS[0]), (0.99, COLOURS[1])):
            values = [model.percentile_ms(share, load) for load in loads]
            known = [float("nan") if value is None else value for value in values]
            latency.plot(millions, known, label=f"p{share * 100:g}", marker="", color=colour)
        saturated = demand.videos_per_day / plan.utilisation_at_peak / 1e6
        if saturated <= millions[-1]:
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
            axes.set_xlim(0, millions[-1])
            axes.axvline(demand.videos_per_day / 1e6, color=GREY, linestyle=":", marker="", label="demand")
            axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=5, borderaxespad=0.2, handlelength=1.4)


def _nodes(profile: Profile, plan: FleetPlan, videos_per_day: float, model: LatencyModel) -> float:
    try:
        return plan_fleet(profile, plan.demand.model_copy(update={"videos_per_day": videos_per_day}), model).nodes
    except CapacityError:
        return float("nan")


def _pair(pair: Pair, form: str) -> str:
    parts = ["-" if value is None else format(value, form) for value in (pair.predicted, pair.measured)]
    return " / ".join(parts) + ("" if pair.error is None else f" ({pair.error:+.0%})")


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f} ms"


def _bits(bits_per_s: float) -> str:
    for unit, size in (("Tbit/s", 1e12), ("Gbit/s", 1e9)):
        if bits_per_s >= size:
            return f"{bits_per_s / size:.2f} {unit}"
    return f"{bits_per_s / 1e6:.2f} Mbit/s"
