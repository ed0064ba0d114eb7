"""Searches for more operators to leave in fp32 when INT8 costs too much."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from time import monotonic
from typing import Final

__all__ = ["LEAST_IN_INT8", "Attempt", "SearchLimits", "search_exclusions"]

LEAST_IN_INT8: Final = 0.5
"""The share of the operators that has to stay in INT8; with fewer, it would be the fp32 detector under another name."""


@dataclass(frozen=True)
class SearchLimits:
    """When to stop: at a loss of `max_loss` (share), or after `seconds`."""

    max_loss: float
    seconds: float


@dataclass(frozen=True)
class Attempt:
    """The loss with these operators left in fp32."""

    excluded: tuple[str, ...]
    loss: float


def search_exclusions(
    start: Attempt,
    operators: Sequence[str],
    loss: Callable[[Sequence[str]], float],
    error: Callable[[Sequence[str]], float],
    limits: SearchLimits,
    clock: Callable[[], float] = monotonic,
) -> Attempt:
    """The first attempt within the loss of `limits`, or the best that fitted into their time.

    Of the operators, by name in the order of the graph, are left out, always on top of `start`: the first
    one, which sees the picture; then those whose leaving out brings the body's outputs nearest to fp32 (`error`,
    cheap), the best one, two, four and so on, as long as LEAST_IN_INT8 of them stay. `loss` is what counts and costs
    more.
    """
    end = clock() + limits.seconds
    best = start

    def enough() -> bool:
        return best.loss <= limits.max_loss or clock() >= end

    def better(names: Sequence[str]) -> Attempt:
        excluded = tuple(dict.fromkeys((*start.excluded, *names)))
        return min(best, Attempt(excluded, loss(excluded)), key=lambda attempt: attempt.loss)

    free = [name for name in operators if name not in start.excluded]
    room = len(free) - ceil(LEAST_IN_INT8 * len(operators))
    if enough() or room < 1:
        return best
    best = better(free[:1])
    errors: dict[str, float] = {}
    for name in free:
        if enough():
            return best
        errors[name] = error((*start.excluded, name))
    ranked = sorted(free, key=lambda name: errors[name])
    count = 1
    while not enough():
        best = better(ranked[: min(count, room)])
        if count >= room:
            break
        count *= 2
    return best
