"""Words that stand beside known terms again and again, for the working group to accept as terms or not.

For queries that an operator may read, in files; the service suggests nothing and keeps nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wildgate_search.answer import Action
from wildgate_search.screener import Screener

__all__ = ["Suggestion", "suggested"]

_LETTERS_TOGETHER = (2, 3, 4)  # of scripts that do not separate words


@dataclass(frozen=True)
class Suggestion:
    """A word, in how many restricted and other queries it stood, and how much more often than by chance (bits)."""

    word: str
    restricted: int
    others: int
    bits: float


def suggested(screener: Screener, queries: Iterable[str], least: int = 5, least_bits: float = 1.0) -> list[Suggestion]:
    """Unknown words by how much they keep company with restricted queries (pointwise mutual information).

    Only words of at least `least` restricted queries are told, and none with a digit.
    """
    inside, outside = Counter[str](), Counter[str]()
    restricted = all_queries = 0
    for query in queries:
        answer = screener.screen(query, explain=True)
        grave = answer.action is Action.RESTRICT
        all_queries += 1
        restricted += grave
        known = {at for match in answer.matches for at in range(match.start, match.end)}
        (inside if grave else outside).update(set(_words(query, known)))
    found = []
    for word, count in inside.items():
        together = count + outside[word]
        bits = math.log2(count * all_queries / (together * restricted))
        if count >= least and bits >= least_bits:
            found.append(Suggestion(word, count, outside[word], bits))
    return sorted(found, key=lambda each: (-each.bits * each.restricted, each.word))


def _words(query: str, known: set[int]) -> Iterator[str]:
    rest = "".join(" " if at in known else letter for at, letter in enumerate(query))
    for word in rest.casefold().split():
        if not word.isalpha():
            continue
        if word.isascii() or ord(word[0]) < 0xE00:
            yield word
        else:
            for length in _LETTERS_TOGETHER:
                yield from (word[at : at + length] for at in range(len(word) - length + 1))
