"""Commands that other distributions add to `wildgate`, as entry points of the group `wildgate.commands`.

Each is a function of the arguments, `(args: list[str]) -> int`, that returns the exit status. It is loaded only when it
is run, so that `wildgate --help` stays fast.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import metadata
from typing import Final

import typer

__all__ = ["BLOCKS_GROUP", "GROUP", "add_other_commands"]

GROUP: Final = "wildgate.commands"
BLOCKS_GROUP: Final = "wildgate.blocks.commands"
"""Those of `wildgate blocks`."""
# Name: help, and the distribution that brings it.
_KNOWN: Final[dict[str, dict[str, tuple[str, str]]]] = {
    GROUP: {
        "referral": (
            "Check a referral's package, or make keys; `wildgate referral --help` lists both.",
            "wildgate[enforcement]",
        ),
        "serve": ("Run the server; `wildgate serve --help` lists its options.", "wildgate"),
        "bulk": (
            "Score an archive by its manifest, on Ray; `wildgate bulk --help` lists its options.",
            "'wildgate[bulk]'",
        ),
        "capacity": (
            "Nodes, bandwidth and cost for a demand, from measured results; "
            "`wildgate capacity --help` lists its options.",
            "wildgate-perf",
        ),
        "enforce": (
            "Keep reports, cases and decisions; `wildgate enforce --help` lists its options.",
            "'wildgate[enforcement]'",
        ),
        "screen": (
            "Screen search queries here; `wildgate screen --help` lists its options.",
            "'wildgate[search]'",
        ),
        "screening": (
            "Screen search queries for other services; `wildgate screening --help` lists its options.",
            "'wildgate[search]'",
        ),
        "cases": (
            "Work on cases that wait for a person; `wildgate cases --help` lists its commands.",
            "'wildgate[enforcement]'",
        ),
    },
    BLOCKS_GROUP: {
        "serve": ("Keep the list for a fleet; `wildgate blocks serve --help` lists its options.", "wildgate")
    },
}
_HAND_ALL_ARGUMENTS_ON: Final = {"allow_extra_args": True, "ignore_unknown_options": True}
_USAGE = 2


def add_other_commands(app: typer.Typer, installed: metadata.EntryPoints, group: str = GROUP) -> None:
    """Adds a group's `installed` commands to `app`; known ones that are missing are hidden, and say what to install."""
    known = _KNOWN[group]
    for name in [*known, *sorted(installed.names - known.keys())]:
        found = installed.select(name=name)
        point = next(iter(found), None)
        brought_by = point.dist.name if point and point.dist else name
        text, distribution = known.get(name, (f"Brought by {brought_by}.", brought_by))
        app.command(
            name,
            help=text,
            hidden=point is None,
            context_settings=_HAND_ALL_ARGUMENTS_ON,
            add_help_option=False,
        )(_runner(name, point, distribution))


def _runner(name: str, point: metadata.EntryPoint | None, distribution: str) -> Callable[[typer.Context], None]:
    def missing(what: str) -> typer.Exit:
        print(f"wildgate {name}: needs {what}; install it with: pip install {distribution}", file=sys.stderr)
        return typer.Exit(_USAGE)

    def run(context: typer.Context) -> None:
        if point is None:
            raise missing(distribution)
        try:
            command = point.load()
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("wildgate"):
                raise  # a broken installation, not a missing dependency
            raise missing(error.name) from None
        raise typer.Exit(command(context.args))

    return run
