"""What results tell of a failure: its kind and its first line. The rest is for the console of whoever ran it."""

from __future__ import annotations

import re

# From the root or from home; not the slash of "videos/s", nor those of http://host/name.
_PATH = re.compile(r"(?:\bfile://|(?<![\w:/.])~?)/[^\s'\",;:()]+")


def brief(error: Exception) -> str:
    """The type of `error` and the first line of its text, without paths."""
    return f"{type(error).__name__}: {first_line(str(error))}"


def first_line(text: str) -> str:
    """The first line of `text`, with `<path>` for every path: they name users and folders, and log tails follow."""
    lines = text.strip().splitlines()
    return _PATH.sub("<path>", lines[0]) if lines else ""
