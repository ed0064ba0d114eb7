"""The generated tables: which characters stand for which. `python -m wildgate_search.make_tables` writes them.

Each file has lines of a key and the characters that it stands for.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

__all__ = ["DIRECTORY", "TABLES", "read", "rendered"]

DIRECTORY = Path(__file__).with_name("tables")
TABLES = ("confusables", "pinyin", "simplified")
"""Look-alikes of a to z and 0 to 9; characters by syllable; traditional characters by the simplified one."""


def read(name: str) -> dict[str, str]:
    """One of TABLES: character to key."""
    lines = DIRECTORY.joinpath(f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return {character: key for key, characters in map(str.split, lines) for character in characters}


def rendered(pairs: Iterable[tuple[str, str]]) -> str:
    """A file of (character, key) pairs."""
    keys: dict[str, list[str]] = {}
    for character, key in pairs:
        keys.setdefault(key, []).append(character)
    return "".join(f"{key} {''.join(sorted(keys[key]))}\n" for key in sorted(keys))
