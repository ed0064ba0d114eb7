"""`wildgate capacity`: options and exit statuses, nothing more.

Exit status: 0 done, 1 the check's errors are larger than allowed, 2 usage, or a profile, demand or run that is no good.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from wildgate_client.result_table import print_table
from wildgate_perf.capacity.check import check_points, check_run, errors_by_figure
from wildgate_perf.capacity.demand import demand_of
from wildgate_perf.capacity.errors import CapacityError
from wildgate_perf.capacity.latency import latency_model
from wildgate_perf.capacity.plan import plan_fleet
from wildgate_perf.capacity.profile import read_profile
from wildgate_perf.capacity.show import PICTURE, check_table, draw_plan, plan_table
from wildgate_perf.results import LATEST

__all__ = ["capacity_command"]

_MISSED, _USAGE = 1, 2

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
        float | None, typer.Option(help="Price of a node, in any currency; without it no cost is told.")
    ] = None,
    pictures: Annotated[Path, typer.Option(metavar="DIR", help="Where the picture goes.")] = Path("out/capacity"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Nodes, bandwidth, cost and headroom for a demand, from what was measured of one node.

    The model and its sources are told in the package wildgate_perf.capacity; `check` holds it against measured loads.
    """
    if context.invoked_subcommand is not None:
        return
    given = {
        "videos_per_day": videos_per_day,
        "peak_factor": peak_factor,
        "mean_seconds": mean_seconds,
        "mean_bytes": mean_bytes,
        "cached_share": cached_share,
        "uri_share": uri_share,
        "digest_first": digest_first,
        "target_utilisation": target_utilisation,
        "spare_nodes": spare_nodes,
        "p99_ms": p99_ms,
        "node_price_per_hour": node_price_per_hour,
    }
    node, wanted = read_profile(profile), demand_of(demand, given)
    model = latency_model(node)
    fleet = plan_fleet(node, wanted, model)
    draw_plan(pictures, node, fleet, model)
    if as_json:
        print(json.dumps({**asdict(fleet), "demand": wanted.model_dump()}, indent=2))
        return
    print_table(plan_table(fleet), sys.stdout)
    print(f"picture: {pictures / PICTURE}.png and .svg", file=sys.stderr)


@app.command()
def check(
    profile: _Profile = LATEST,
    run: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="summary.json of a locust run; default: the profile's own loads."),
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
    print_table(check_table(compared), sys.stdout)
    if within is None:
        return
    errors = errors_by_figure(compared)
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
