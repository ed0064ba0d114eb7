"""A node as a queue, simulated: what an open loop would measure on it. The same seed gives the same node."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

__all__ = ["waits"]


def waits(servers: int, rate: float, service: Callable[[random.Random], float], count: int, seed: int) -> list[float]:
    """How long each of `count` customers waits who come at random, `rate` a second, served in their order.

    By the recursion of Kiefer and Wolfowitz: whoever comes gets the server that is free first.
    """
    chance = random.Random(seed)
    free_at = [0.0] * servers
    now, found = 0.0, []
    for _ in range(count):
        now += chance.expovariate(rate)
        begins = max(now, free_at[0])
        heapq.heapreplace(free_at, begins + service(chance))
        found.append(begins - now)
    return found[count // 10 :]  # the beginning finds an empty queue
