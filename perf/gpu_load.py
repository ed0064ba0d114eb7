"""Closed loops: as many askers as are wanted, each with one question under way, for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

__all__ = ["Answered", "LoadPlan", "Measured", "closed_loop", "percentile"]

Stages = Mapping[str, float]


@dataclass(frozen=True)
class LoadPlan:
    """How many ask at once, for how long before it counts, and for how long it counts; times in seconds."""

    askers: int
    warm_up_s: float
    seconds: float


@dataclass(frozen=True)
class Answered:
    """An answer that counts: how long it took, and the server's own stage times; milliseconds."""

    took_ms: float
    stages_ms: Stages


@dataclass(frozen=True)
class Measured:
    """What came of a closed loop. `weight` is how many videos an answer stands for; failures count no videos."""

    answers: tuple[Answered, ...]
    failures: tuple[str, ...]
    seconds: float
    weight: int = 1

    @property
    def per_s(self) -> float:
        """Videos a second."""
        return len(self.answers) * self.weight / self.seconds

    def took_ms(self, share: float) -> float:
        """The time within which a `share` (0 to 1) of the answers came."""
        return percentile([answer.took_ms for answer in self.answers], share)

    def stages_ms(self, share: float) -> dict[str, float]:
        """The same for each stage that any answer tells of."""
        names = dict.fromkeys(name for answer in self.answers for name in answer.stages_ms)
        return {
            name: percentile([a.stages_ms[name] for a in self.answers if name in a.stages_ms], share) for name in names
        }


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least a `share` (0 to 1) of the values do not exceed; NaN of none (nearest rank)."""
    if not values:
        return float("nan")
    rank = -int(-share * len(values) // 1)  # rounded up
    return sorted(values)[max(rank, 1) - 1]


async def closed_loop(
    ask: Callable[[int], Awaitable[Stages]],
    plan: LoadPlan,
    *,
    weight: int = 1,
    now: Callable[[], float] = time.perf_counter,
) -> Measured:
    """Asks `ask(number)` over and over; it answers with stage times, in milliseconds, or raises.

    An answer or failure counts when it comes after the warm-up and before the end.
    """
    began = now()
    counts_from, ends = began + plan.warm_up_s, began + plan.warm_up_s + plan.seconds
    answers: list[Answered] = []
    failures: list[str] = []

    async def asker(first: int) -> None:
        number = first
        while (asked := now()) < ends:
            try:
                stages = await ask(number)
            except Exception as error:  # Whatever it is, the report says how often and how it reads.
                if counts_from <= now() <= ends:
                    failures.append(f"{type(error).__name__}: {error}")
                await asyncio.sleep(0)
            else:
                if counts_from <= (answered := now()) <= ends:
                    answers.append(Answered((answered - asked) * 1e3, stages))
            number += plan.askers

    async with asyncio.TaskGroup() as group:
        for first in range(plan.askers):
            group.create_task(asker(first), name=f"asker-{first}")
    return Measured(tuple(answers), tuple(failures), plan.seconds, weight)
