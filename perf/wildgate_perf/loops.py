"""How load is made: closed loops (so many clients) and open loops (so many requests per second).

A closed loop finds out what a server can do: each client waits for its answer before it asks again. It cannot find out
what callers who do not wait for each other would see: a server that stalls is asked nothing meanwhile, so the stall
counts once instead of once for every caller (G. Tene, "How NOT to Measure Latency": coordinated omission).

An open loop asks on a timetable drawn up beforehand, whatever the answers do, and counts every latency from the
*scheduled* moment, so that waiting for a late load generator counts too (B. Schroeder, A. Wierman, M. Harchol-Balter,
"Open Versus Closed: A Cautionary Tale", NSDI 2006).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

Stages = Mapping[str, float]
Ask = Callable[[int], Awaitable[Stages]]
Arrivals = Literal["uniform", "poisson"]


@dataclass(frozen=True)
class LoadPlan:
    """How many clients ask at once, how long they warm up, and how long it counts; times in seconds."""

    clients: int
    warm_up_s: float
    seconds: float


@dataclass(frozen=True)
class Answered:
    """An answer that counts: how long it took, and the server's own stage times; milliseconds."""

    took_ms: float
    stages_ms: Stages


@dataclass(frozen=True)
class Measured:
    """What came of a closed loop. `weight` is how many videos an answer stands for; failures count no videos.

    `shares` counts answers too, but one that was asked for before the time that counts, or came after it, only by the
    share of its waiting that lay within.
    """

    answers: tuple[Answered, ...]
    failures: tuple[str, ...]
    seconds: float
    weight: int = 1
    shares: float = float("nan")

    @property
    def per_s(self) -> float:
        """Videos a second, by answers that came."""
        return len(self.answers) * self.weight / self.seconds

    @property
    def steady_per_s(self) -> float:
        """Videos a second, by `shares`: steadier over a short time, when answers come in bursts, as batches give them.

        Clients always wait, so it is Little's law turned round: clients over the time that an answer takes.
        """
        return self.shares * self.weight / self.seconds

    def took_ms(self, share: float) -> float:
        """The time within which a `share` (0 to 1) of the answers came."""
        return percentile([answer.took_ms for answer in self.answers], share)

    def stages_ms(self, share: float) -> dict[str, float]:
        """The same for each stage that any answer tells of."""
        names = dict.fromkeys(name for answer in self.answers for name in answer.stages_ms)
        return {
            name: percentile([a.stages_ms[name] for a in self.answers if name in a.stages_ms], share) for name in names
        }


@dataclass(frozen=True)
class Outcome:
    """One question of an open loop; seconds since the loop began. `failure` is "" for an answer."""

    scheduled_s: float
    sent_s: float
    ended_s: float
    failure: str = ""

    @property
    def took_ms(self) -> float:
        """Milliseconds from the moment it was due, not from the one it was sent."""
        return (self.ended_s - self.scheduled_s) * 1e3


@dataclass(frozen=True)
class Offered:
    """What came of an open loop that asked from 0 to `warm_up_s + seconds`; what the warm-up saw does not count."""

    rate_per_s: float
    warm_up_s: float
    seconds: float
    outcomes: tuple[Outcome, ...]

    @property
    def counted(self) -> list[Outcome]:
        """The questions that were due after the warm-up."""
        return [outcome for outcome in self.outcomes if outcome.scheduled_s >= self.warm_up_s]

    def good_per_s(self, deadline_ms: float = float("inf")) -> float:
        """Goodput: answers a second that came after the warm-up and before the end, none later than `deadline_ms`."""
        ends = self.warm_up_s + self.seconds
        good = [o for o in self.outcomes if not o.failure and o.took_ms <= deadline_ms]
        return sum(self.warm_up_s <= outcome.ended_s < ends for outcome in good) / self.seconds

    def took_ms(self, share: float) -> float:
        """The time within which a `share` (0 to 1) of the answers came, counted from when they were due."""
        return percentile([outcome.took_ms for outcome in self.counted if not outcome.failure], share)

    def took_or_failed_ms(self, share: float) -> float:
        """The same of all questions: one that failed took for ever, so infinity where too few were answered."""
        took = [float("inf") if outcome.failure else outcome.took_ms for outcome in self.counted]
        return percentile(took, share)

    def late_ms(self, share: float) -> float:
        """How late a `share` of the questions were sent at most: what the load generator itself adds."""
        return percentile([(outcome.sent_s - outcome.scheduled_s) * 1e3 for outcome in self.counted], share)

    @property
    def failures(self) -> dict[str, int]:
        """How often each kind of failure came."""
        return dict(Counter(outcome.failure for outcome in self.counted if outcome.failure))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least a `share` (0 to 1) of the values do not exceed; NaN of none (nearest rank)."""
    if not values:
        return float("nan")
    rank = -int(-share * len(values) // 1)  # rounded up
    return sorted(values)[max(rank, 1) - 1]


async def closed_loop(
    ask: Ask,
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
    shares: list[float] = []

    async def client(first: int) -> None:
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
                if answered > asked:
                    within = min(answered, ends) - max(asked, counts_from)
                    shares.append(max(0.0, within) / (answered - asked))
            number += plan.clients

    async with asyncio.TaskGroup() as group:
        for first in range(plan.clients):
            group.create_task(client(first), name=f"client-{first}")
    return Measured(tuple(answers), tuple(failures), plan.seconds, weight, sum(shares))


async def each_once(ask: Ask, count: int, clients: int, *, now: Callable[[], float] = time.perf_counter) -> Measured:
    """Asks the questions 0 to `count` - 1, each one once, `clients` at a time; `seconds` is how long it took."""
    answers: list[Answered] = []
    failures: list[str] = []
    numbers = iter(range(count))
    began = now()

    async def client() -> None:
        for number in numbers:  # shared: each question goes to one client
            asked = now()
            try:
                stages = await ask(number)
            except Exception as error:
                failures.append(f"{type(error).__name__}: {error}")
            else:
                answers.append(Answered((now() - asked) * 1e3, stages))

    async with asyncio.TaskGroup() as group:
        for place in range(clients):
            group.create_task(client(), name=f"client-{place}")
    return Measured(tuple(answers), tuple(failures), now() - began)


async def alternating_loop(
    asks: Sequence[Ask],
    seconds: float,
    *,
    now: Callable[[], float] = time.perf_counter,
) -> list[Measured]:
    """One client that asks each of `asks` in turn, over and over, for `seconds`; what came of each.

    Whatever else the machine does then hits all of them alike, so that their medians can be compared. The first turn
    warms up and does not count; the second counts however long it takes.
    """
    turns: list[list[Answered]] = [[] for _ in asks]
    failures: list[list[str]] = [[] for _ in asks]
    ends, number = now() + seconds, 0
    while number < 2 or now() < ends:
        for place, ask in enumerate(asks):
            asked = now()
            try:
                stages = await ask(number)
            except Exception as error:
                failures[place].append(f"{type(error).__name__}: {error}")
                continue
            if number:
                turns[place].append(Answered((now() - asked) * 1e3, stages))
        number += 1
    return [Measured(tuple(answers), tuple(failed), seconds) for answers, failed in zip(turns, failures, strict=True)]


def timetable(rate_per_s: float, seconds: float, arrivals: Arrivals = "uniform", seed: int = 0) -> list[float]:
    """When questions are due, in seconds from the start, `rate_per_s` of them a second for `seconds`.

    `uniform` leaves equal pauses; `poisson` draws them from an exponential distribution of the same mean, as callers
    who know nothing of each other come. The same `seed` gives the same timetable.
    """
    count = round(rate_per_s * seconds)
    if arrivals == "uniform":
        return [number / rate_per_s for number in range(count)]
    draw = random.Random(seed)
    return [due for due in accumulate(draw.expovariate(rate_per_s) for _ in range(2 * count + 10)) if due < seconds]


async def open_loop(
    ask: Ask,
    rate_per_s: float,
    seconds: float,
    arrivals: Arrivals = "uniform",
    *,
    warm_up_s: float = 0.0,
    failure_of: Callable[[Exception], str] = lambda error: type(error).__name__,
    now: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Offered:
    """Asks `ask(number)` on a timetable, for `warm_up_s` and then for the `seconds` that count; waits for no answer.

    Returns when all questions have ended, so `ask` must have a deadline of its own. An exception that it raises is one
    failed question, called by `failure_of`.
    """
    outcomes: list[Outcome] = []
    began = now()

    async def asked(number: int, due: float) -> None:
        sent, failure = now() - began, ""
        try:
            await ask(number)
        except Exception as error:
            failure = failure_of(error) or type(error).__name__
        outcomes.append(Outcome(due, sent, now() - began, failure))

    async with asyncio.TaskGroup() as group:
        for number, due in enumerate(timetable(rate_per_s, warm_up_s + seconds, arrivals)):
            # Also when late: the loop must run what it started, and a load generator that never yields measures itself.
            await sleep(max(0.0, began + due - now()))
            group.create_task(asked(number, due), name=f"question-{number}")
    return Offered(rate_per_s, warm_up_s, seconds, tuple(sorted(outcomes, key=lambda outcome: outcome.scheduled_s)))
