"""How the commands of `wildgate-build` fail: one base of typed errors, one way to say it."""

from typing import NoReturn

import typer
from rich.console import Console

__all__ = ["BuildError", "fail"]

_BAD_INPUT = 2


class BuildError(Exception):
    """Base of the errors that a user of `wildgate-build` can mend; the text names what was wrong."""


def fail(message: object) -> NoReturn:
    """Says what was wrong on standard error and ends the command with exit status 2."""
    Console(stderr=True, soft_wrap=True).print(f"wildgate-build: {message}", style="red", markup=False, highlight=False)
    raise typer.Exit(_BAD_INPUT)
