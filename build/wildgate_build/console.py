"""How commands print facts and report failures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console

from wildgate_build.errors import BuildError

__all__ = ["console", "fail", "failures", "print_facts", "say"]

_BAD_INPUT = 2

console = Console(soft_wrap=True, highlight=False)
"""Never wraps lines, however narrow the terminal: output is meant to be copied."""


def say(line: str, style: str | None = None) -> None:
    """Prints a line as it is, without markup."""
    console.print(line, style=style, markup=False)


def print_facts(facts: Mapping[str, str]) -> None:
    """Prints `facts` in two columns."""
    width = max(map(len, facts))
    for name, value in facts.items():
        say(f"{name:<{width}}  {value}")


def fail(message: object, program: str = "wildgate-build") -> NoReturn:
    """Prints an error to standard error and ends the command with exit status 2."""
    Console(stderr=True, soft_wrap=True).print(f"{program}: {message}", style="red", markup=False, highlight=False)
    raise typer.Exit(_BAD_INPUT)


@contextmanager
def failures(*also: type[Exception]) -> Iterator[None]:
    """Turns a BuildError, or one of `also`, raised within into `fail`."""
    kinds: tuple[type[Exception], ...] = (BuildError, *also)
    try:
        yield
    except kinds as error:
        fail(error)
