"""Figures by name, a line each, however narrow the terminal: what is pasted somewhere else must stay whole."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

__all__ = ["print_facts"]


def print_facts(console: Console, facts: Mapping[str, str]) -> None:
    """Prints `facts` in two columns and folds none of them."""
    width = max(map(len, facts))
    for name, value in facts.items():
        console.print(f"{name:<{width}}  {value}", markup=False, highlight=False, soft_wrap=True)
