"""The command `wildgate-build`: any detector in, checked and live.

Each command lives in its own package, which is imported only when the command is needed. Other packages add
theirs as entry points of the group `wildgate_build.commands`: functions that take the arguments and return the exit
status.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

__all__ = ["app", "main"]

ENTRY_POINTS: Final = "wildgate_build.commands"

_PREPARE, _SERVE = "Prepare a detector", "Bring it live"
# The command, its panel in the help, its module in this package, its function.
_COMMANDS: Final = {
    "import": (_PREPARE, "importer.commands", "import_detector"),
    "quantise": (_PREPARE, "precision.commands", "quantise"),
    "half": (_PREPARE, "precision.commands", "half"),
    "engine": (_PREPARE, "engine.commands", "engine"),
    "check": (_PREPARE, "check.commands", "check"),
    "publish": (_SERVE, "publish.commands", "publish"),
    "canary": (_SERVE, "publish.commands", "canary"),
    "promote": (_SERVE, "publish.commands", "promote"),
    "rollback": (_SERVE, "publish.commands", "rollback"),
    "releases": (_SERVE, "publish.commands", "releases"),
    "prepare": (_SERVE, "engine.prepare", "prepare"),
}


class _Commands(TyperGroup):
    """Looks commands up by name: its own first, then those of other packages."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # typer's Context is click's
        return [*_COMMANDS, *sorted(point.name for point in entry_points(group=ENTRY_POINTS))]

    def get_command(self, ctx: typer.Context, cmd_name: str) -> TyperCommand | None:  # type: ignore[override]
        if cmd_name in _COMMANDS:
            panel, module, function = _COMMANDS[cmd_name]
            return _command(getattr(import_module(f"wildgate_build.{module}"), function), cmd_name, panel)
        found = entry_points(group=ENTRY_POINTS, name=cmd_name)
        return _foreign(next(iter(found))) if found else None


def _command(function: Callable[..., object], name: str, panel: str, **settings: object) -> TyperCommand:
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(name, rich_help_panel=panel, **settings)(function)  # type: ignore[arg-type]
    command = get_command(single)
    assert isinstance(command, TyperCommand)
    return command


def _foreign(point: EntryPoint) -> TyperCommand:
    """The command of an entry point; it gets all arguments, including `--help`."""
    function: Callable[[list[str]], int] = point.load()

    def run(ctx: typer.Context) -> None:
        raise typer.Exit(function(ctx.args))

    run.__doc__ = function.__doc__
    settings = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    return _command(run, point.name, _SERVE, context_settings=settings)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Any detector in, checked and live: import, quantise, engine, check, publish.",
)


@app.callback()
def _group() -> None:
    """Makes the app a group although no command is registered here."""


def main() -> None:
    """Entry point of `wildgate-build`."""
    app()


if __name__ == "__main__":
    main()
