"""What commands print: facts line by line, and how they fail."""

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
"""Folds no line, however narrow the terminal: what is pasted somewhere else must stay whole."""


def say(line: str, style: str | None = None) -> None:
    """Prints a line as it is, without markup."""
    console.print(line, style=style, markup=False)


def print_facts(facts: Mapping[str, str]) -> None:
    """Prints `facts` in two columns."""
    width = max(map(len, facts))
    for name, value in facts.items():
        say(f"{name:<{width}}  {value}")


def fail(message: object, program: str = "wildgate-build") -> NoReturn:
    """Says what was wrong on standard error and ends the command with exit status 2."""
    Console(stderr=True, soft_wrap=True).print(f"{program}: {message}", style="red", markup=False, highlight=False)
    raise typer.Exit(_BAD_INPUT)


@contextmanager
def failures(*also: type[Exception]) -> Iterator[None]:
    """Ends the command by `fail` where a BuildError, or one of `also`, is raised within."""
    kinds: tuple[type[Exception], ...] = (BuildError, *also)
    try:
        yield
    except kinds as error:
        fail(error)
