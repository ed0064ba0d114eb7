"""`wildgate capacity`: its options and tables.

Exit status: 0 done, 2 usage, or a profile or demand that cannot be used.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import BaseModel, ValidationError
from rich import box
from rich.table import Table

from wildgate_client.result_table import print_table
from wildgate_perf.bench.phase import PhaseFailed
from wildgate_perf.capacity.check import Compared, Pair, check_points, mean_error
from wildgate_perf.capacity.day import DayOptions, simulate, tiers_of
from wildgate_perf.capacity.day_report import day_as_json, day_rows, draw_day
from wildgate_perf.capacity.model import Demand, FleetPlan, demand_of, plan_fleet
from wildgate_perf.capacity.profile import CapacityError, Profile, read_profile
from wildgate_perf.capacity.real_runs import measure_runs
from wildgate_perf.results import LATEST
from wildgate_server.repository.yaml_document import faults

_USAGE = 2


def capacity_command(arguments: Sequence[str]) -> int:
    """Runs `wildgate capacity` with these arguments; returns its exit status."""
    try:
        options = _parser().parse_args(arguments)
        node = read_profile(options.profile)
        if options.command == "check":
            rows = measure_runs(options.measure) if options.measure else check_points(node)
            print_table(_check_table(rows), sys.stdout)
        elif options.simulate:
            _day(node, options)
        else:
            _plan(node, options)
    except (CapacityError, PhaseFailed) as error:
        print(f"wildgate capacity: {error}", file=sys.stderr)
        return _USAGE
    except SystemExit as left:  # argparse has printed help, or what is wrong
        return left.code if isinstance(left.code, int) else _USAGE
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wildgate capacity",
        allow_abbrev=False,
        description="Nodes, bandwidth, cost and headroom for a demand, from what was measured of one node. "
        "The package wildgate_perf.capacity explains the model and its sources.",
    )
    parser.add_argument(
        "command", nargs="?", choices=["check"], help="hold the model against measured loads: predicted / measured"
    )
    parser.add_argument(
        "--profile",
        type=Path,
        metavar="FILE",
        default=LATEST,
        help="results of `make bench` (.json), or a YAML file with a profile's fields",
    )
    parser.add_argument(
        "--demand", type=Path, metavar="FILE", help="YAML file with the options below; options given here go first"
    )
    parser.add_argument(
        "--measure", type=float, metavar="SECONDS", help="check: against runs of one node and two that are made now"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--simulate", action="store_true", help="a day of an autoscaled fleet, instead of one for the peak"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw that day (.svg, .png)")
    _add_fields(parser.add_argument_group("demand"), Demand)
    _add_fields(parser.add_argument_group("day", "what happens in it, with --simulate"), DayOptions)
    return parser


def _add_fields(parser: argparse._ActionsContainer, model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        flag = f"--{name.replace('_', '-')}"
        default = "" if field.is_required() or field.default is None else f" [{field.default}]"
        about = f"{field.description}{default}"
        if field.annotation is bool:
            parser.add_argument(flag, action="store_true", default=None, help=about)
        else:
            parser.add_argument(flag, metavar="N", help=about)


def _plan(node: Profile, options: argparse.Namespace) -> None:
    demand = demand_of(options.demand, {name: getattr(options, name) for name in Demand.model_fields})
    fleet = plan_fleet(node, demand)
    if options.json:
        print(json.dumps({**asdict(fleet), "demand": demand.model_dump()}, indent=2))
    else:
        print_table(_plan_table(fleet), sys.stdout)


def _day(node: Profile, options: argparse.Namespace) -> None:
    demand = demand_of(options.demand, {name: getattr(options, name) for name in Demand.model_fields})
    given = {name: value for name in DayOptions.model_fields if (value := getattr(options, name)) is not None}
    try:
        chosen = DayOptions.model_validate(given)
    except ValidationError as error:
        raise CapacityError("\n".join(faults(error))) from error
    day = simulate(tiers_of(node, demand, chosen), demand, chosen)
    found = day_as_json(day, demand.p99_ms)
    if options.picture:
        draw_day(day, options.picture)
    if options.json:
        print(json.dumps({**found, "demand": demand.model_dump(), "day": chosen.model_dump()}, indent=2))
        return
    table = Table("figure", "value", box=box.SIMPLE_HEAD)
    for row in day_rows(found).items():
        table.add_row(*row)
    print_table(table, sys.stdout)


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
            f"without the spare p99 {_ms(plan.p99_ms_without_spare)}"
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
    """Predicted / measured (error) of every load, and the mean size of the errors at the end."""
    table = Table("load", "utilisation", "answered/s", "p50 ms", "p99 ms", box=box.SIMPLE_HEAD)
    forms = {"utilisation": ".2f", "answered_per_s": ".2f", "p50_ms": ".0f", "p99_ms": ".0f"}
    for row in compared:
        table.add_row(row.about, *(_pair(getattr(row, name), form) for name, form in forms.items()))
    errors = [mean_error([getattr(row, name) for row in compared]) for name in forms]
    table.add_section()
    table.add_row("mean size of errors", *("-" if error is None else f"{error:.0%}" for error in errors))
    return table


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
