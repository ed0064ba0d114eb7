"""How load is made: closed loops (so many clients) and open loops (so many requests per second).

A closed loop finds out what a server can do: each client waits for its answer before it asks again. It cannot find out
what independent callers would see: a server that stalls is asked nothing meanwhile, so the stall counts once instead of
once for every caller (G. Tene, "How NOT to Measure Latency": coordinated omission).

An open loop sends on a timetable drawn up beforehand, whatever the answers do, and counts every latency from the
*scheduled* moment, so that waiting for a late load generator counts too (B. Schroeder, A. Wierman, M. Harchol-Balter,
"Open Versus Closed: A Cautionary Tale", NSDI 2006).
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Stages = Mapping[str, float]
Ask = Callable[[int], Awaitable[Stages]]
"""Sends the request of a number; returns stage times in milliseconds, or raises."""
Arrivals = Literal["uniform", "poisson"]
Now = Callable[[], float]


class Unanswered(Exception):
    """No answer, or one that does not count; the text begins with the kind of failure, such as the gRPC status."""


@dataclass(frozen=True)
class LoadPlan:
    """A closed loop: clients, seconds of warm-up and of measurement; it ends early after `requests` of them."""

    clients: int
    warm_up_s: float
    seconds: float
    requests: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of one request; seconds since the loop began. `failure` is "" for an answer."""

    due_s: float
    sent_s: float
    ended_s: float
    failure: str = ""
    stages_ms: Stages = field(default_factory=dict)

    @property
    def took_ms(self) -> float:
        """Milliseconds since it was due, which in a closed loop is when it was sent."""
        return (self.ended_s - self.due_s) * 1e3


@dataclass(frozen=True)
class Measured:
    """What came of a loop, and what it cost: processor and wall seconds of the load generator.

    `counted` are the requests that ended (closed loop) or were due (open loop) in the time that counts, `outcomes` also
    those of the warm-up. Percentiles take a share from 0 to 1.
    """

    outcomes: tuple[Outcome, ...]
    counted: tuple[Outcome, ...]
    warm_up_s: float
    seconds: float
    cpu_s: float = 0.0
    wall_s: float = 0.0

    @property
    def answers(self) -> list[Outcome]:
        """The answers that count."""
        return [outcome for outcome in self.counted if not outcome.failure]

    @property
    def answered(self) -> int:
        """All answers, those of the warm-up too: processor time is to be divided by this."""
        return sum(not outcome.failure for outcome in self.outcomes)

    @property
    def failures(self) -> dict[str, int]:
        """How often each kind of failure came."""
        return dict(Counter(outcome.failure.partition(":")[0] for outcome in self.counted if outcome.failure))

    @property
    def per_s(self) -> float:
        """Answers a second; one across an edge of the time that counts does so by the part of its wait within.

        That is steadier than counting answers where they come in bursts, as batches give them.
        """
        ends, shares = self.warm_up_s + self.seconds, 0.0
        for each in self.outcomes:
            if not each.failure and each.ended_s > each.sent_s:
                within = min(each.ended_s, ends) - max(each.sent_s, self.warm_up_s)
                shares += max(0.0, within) / (each.ended_s - each.sent_s)
        return shares / self.seconds

    def good_per_s(self, deadline_ms: float = float("inf")) -> float:
        """Goodput: answers a second that came after the warm-up and before the end, none later than `deadline_ms`."""
        ends = self.warm_up_s + self.seconds
        good = [each for each in self.outcomes if not each.failure and each.took_ms <= deadline_ms]
        return sum(self.warm_up_s <= each.ended_s < ends for each in good) / self.seconds

    def took_ms(self, share: float) -> float:
        """The latency that a share of the answers did not exceed."""
        return percentile([answer.took_ms for answer in self.answers], share)

    def took_or_failed_ms(self, share: float) -> float:
        """The same over all requests: a failed one took for ever, so infinity where too few were answered."""
        return percentile([float("inf") if each.failure else each.took_ms for each in self.counted], share)

    def late_ms(self, share: float) -> float:
        """How late a share of the requests were sent at most: what the load generator itself adds."""
        return percentile([(each.sent_s - each.due_s) * 1e3 for each in self.counted], share)

    def stages_ms(self, share: float) -> dict[str, float]:
        """The latency of each stage that any answer reports."""
        stages: dict[str, list[float]] = {}
        for answer in self.answers:
            for name, took_ms in answer.stages_ms.items():
                stages.setdefault(name, []).append(took_ms)
        return {name: percentile(values, share) for name, values in stages.items()}

    @property
    def core_share(self) -> float:
        """How much of one core the load generator took."""
        return self.cpu_s / self.wall_s


def together(parts: Sequence[Measured]) -> Measured:
    """Loops of one plan as one; rates are those of all, as far as they ran at the same time."""
    return replace(
        parts[0],
        outcomes=tuple(itertools.chain.from_iterable(part.outcomes for part in parts)),
        counted=tuple(itertools.chain.from_iterable(part.counted for part in parts)),
        cpu_s=sum(part.cpu_s for part in parts),
        wall_s=sum(part.wall_s for part in parts),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least a `share` (0 to 1) of the values do not exceed; NaN of none (nearest rank)."""
    if not values:
        return float("nan")
    rank = -int(-share * len(values) // 1)  # rounded up
    return sorted(values)[max(rank, 1) - 1]


async def closed_loop(ask: Ask, plan: LoadPlan, *, now: Now = time.perf_counter) -> Measured:
    """Clients that send one request after the other."""
    outcomes: list[Outcome] = []
    numbers = itertools.count() if plan.requests is None else iter(range(plan.requests))
    began, ends = now(), plan.warm_up_s + plan.seconds

    async def client() -> None:
        while now() - began < ends and (number := next(numbers, None)) is not None:
            sent_s = now() - began
            outcomes.append(await _outcome(ask, number, sent_s, began, now))
            await asyncio.sleep(0)  # a request that fails at once must not keep the others from theirs

    async with asyncio.TaskGroup() as group:
        for _ in range(plan.clients):
            group.create_task(client())
    counted = tuple(each for each in outcomes if plan.warm_up_s <= each.ended_s <= ends)
    return Measured(tuple(outcomes), counted, plan.warm_up_s, plan.seconds)


async def open_loop(
    ask: Ask,
    rate_per_s: float,
    seconds: float,
    arrivals: Arrivals = "uniform",
    warm_up_s: float = 0.0,
    *,
    now: Now = time.perf_counter,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Measured:
    """Sends on a timetable, for `warm_up_s` and then for the `seconds` that count; waits for no answer.

    Returns when all requests have ended, so `ask` must have a deadline of its own.
    """
    outcomes: list[Outcome] = []
    began = now()

    async def client(number: int, due_s: float) -> None:
        outcomes.append(await _outcome(ask, number, due_s, began, now))

    async with asyncio.TaskGroup() as group:
        for number, due_s in enumerate(timetable(rate_per_s, warm_up_s + seconds, arrivals)):
            # Also when late: the loop must run what it started, and a load generator that never yields measures itself.
            await sleep(max(0.0, began + due_s - now()))
            group.create_task(client(number, due_s))
    outcomes.sort(key=lambda outcome: outcome.due_s)
    counted = tuple(each for each in outcomes if each.due_s >= warm_up_s)
    return Measured(tuple(outcomes), counted, warm_up_s, seconds)


async def _outcome(ask: Ask, number: int, due_s: float, began: float, now: Now) -> Outcome:
    sent_s, stages, failure = now() - began, {}, ""
    try:
        stages = dict(await ask(number))
    except Unanswered as error:
        failure = str(error)
    except Exception as error:  # whatever it is, the report says how often and how it reads
        failure = f"{type(error).__name__}: {error}"
    return Outcome(due_s, sent_s, now() - began, failure, stages)


def timetable(rate_per_s: float, seconds: float, arrivals: Arrivals = "uniform", seed: int = 0) -> list[float]:
    """When requests are due, in seconds from the start, `rate_per_s` of them a second for `seconds`.

    `uniform` leaves equal pauses; `poisson` draws them from an exponential distribution of the same mean, as
    independent callers come. The same `seed` gives the same timetable.
    """
    count = round(rate_per_s * seconds)
    if arrivals == "uniform":
        return [number / rate_per_s for number in range(count)]
    draw = random.Random(seed)
    pauses = (draw.expovariate(rate_per_s) for _ in range(2 * count + 10))
    return [due_s for due_s in itertools.accumulate(pauses) if due_s < seconds]
