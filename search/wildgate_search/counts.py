"""How often which rule was met by which terms, told so that no query and no person can be found in it.

Counted are terms of the lexicon, never words of a query. Each window is released once, with noise, and without counts
that stay below a minimum.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

import datasketches
from pydantic import Field

from wildgate_search.answer import Action, Answer
from wildgate_server.config_section import ConfigSection

__all__ = ["Count", "CountSettings", "PrivateCounts"]

_HASHES, _BUCKETS = 5, 1 << 14  # an estimate is too high by more than 0.02 % of all in 1 of 150
_LG_MOST_KEYS = 10


class CountSettings(ConfigSection):
    """How counts are kept private."""

    epsilon: float = Field(1.0, gt=0, le=10)
    """How much one query may change what is released: counts get noise of a two-sided geometric distribution."""
    least: int = Field(20, ge=2)
    """Noisy counts below it are not released."""
    window_s: float = Field(3600.0, ge=1)
    """How long is counted before it is released and forgotten."""


@dataclass(frozen=True)
class Count:
    """About how many queries met a rule with these terms."""

    rule: str
    terms: tuple[str, ...]
    count: int


class PrivateCounts:
    """One window of counts, in sketches of bounded size: a count-min sketch, and the keys that come up most.

    Noise makes a window differentially private for single queries (Ghosh, Roughgarden, Sundararajan 2009, universally
    utility-maximizing mechanisms); whoever asks often is protected less.
    """

    def __init__(self, settings: CountSettings, noise: random.Random | None = None) -> None:
        self._settings = settings
        self._random = noise or random.SystemRandom()
        self._begin()

    def add(self, answer: Answer) -> None:
        """Counts an answer that restricts."""
        if answer.action is Action.RESTRICT:
            terms = sorted({match.term for match in answer.matches if not match.excused_by})
            key = "\t".join((answer.rule, *terms))
            self._sketch.update(key)
            self._keys.update(key)

    def release(self) -> list[Count]:
        """The window's counts, the highest first; the next window begins."""
        counts = sorted(self._noisy(), key=lambda each: -each.count)
        self._begin()
        return counts

    def _begin(self) -> None:
        self._sketch = datasketches.count_min_sketch(_HASHES, _BUCKETS)
        self._keys = datasketches.frequent_strings_sketch(_LG_MOST_KEYS)

    def _noisy(self) -> Iterator[Count]:
        for key, *_ in self._keys.get_frequent_items(datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES):
            count = round(self._sketch.get_estimate(key)) + self._geometric() - self._geometric()
            if count >= self._settings.least:
                rule, *terms = key.split("\t")
                yield Count(rule, tuple(terms), count)

    def _geometric(self) -> int:
        """From 0 up, each number exp(-epsilon) times as probable as the one before."""
        return math.floor(math.log(1.0 - self._random.random()) / -self._settings.epsilon)
