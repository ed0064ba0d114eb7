"""The labelled queries: one a line, by language, below a heading of what they ask for and in which class."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LANGUAGES", "Labelled", "labelled_queries"]

_DIRECTORY = Path(__file__).with_name("queries")
LANGUAGES = ("en", "zh", "vi", "th", "id", "es")


@dataclass(frozen=True)
class Labelled:
    """A query and what it is.

    `kind`: trade (asks for what is to be restricted), doubt (a notice at most) or innocent. `tuned`: it was looked at
    when the lexicon was tuned; the others, chosen by hash, were not.
    """

    language: str
    kind: str
    subject: str
    query: str

    @property
    def tuned(self) -> bool:
        return hashlib.sha256(self.query.encode()).digest()[0] % 2 == 0


def labelled_queries() -> Iterator[Labelled]:
    for language in LANGUAGES:
        kind = subject = ""
        for line in (_DIRECTORY / f"{language}.txt").read_text(encoding="utf-8").splitlines():
            if line.startswith("["):
                kind, _, subject = line.strip("[]").partition("/")
            elif line:
                yield Labelled(language, kind, subject, line)
