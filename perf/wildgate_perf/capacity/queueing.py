"""A node as a queue: callers who know nothing of each other, one line, so many videos worked on at once.

First come, first served, at the first server that is free (J. Kiefer, J. Wolfowitz, "On the Theory of Queues with Many
Servers", Transactions of the AMS 78, 1955): exact for any arrivals and any work, one video after the other.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wildgate_perf.capacity.profile import Profile


@dataclass(frozen=True)
class Node:
    """`servers` videos at once, `service_s` each on average.

    `variation` is the standard deviation of a video's work over its mean; work is drawn from a gamma distribution.
    """

    servers: int
    service_s: float
    variation: float

    @classmethod
    def of(cls, profile: Profile, variation: float) -> Node:
        """The measured node: saturated, it has as many videos at work as its peak times what one takes alone (Little's
        law: "A Proof for the Queuing Formula L = λW", 1961); where that was not measured, one a core.
        """
        peak, alone_ms = profile.curve_peak_per_s, profile.unloaded_ms
        servers = profile.cores if alone_ms is None else max(1, round(peak * alone_ms / 1e3))
        return cls(servers, servers / peak, variation)

    @property
    def peak_per_s(self) -> float:
        """Videos a second at most."""
        return self.servers / self.service_s


class Queue:
    """A node at work; times are seconds and never go back."""

    def __init__(self, node: Node, seed: int = 0) -> None:
        self.node = node
        self._free_s = [0.0] * node.servers
        self._inside: list[float] = []
        self._draw = random.Random(f"work {seed}")  # never the draw of the arrivals

    def latency_s(self, came_s: float, places: float = math.inf, beyond_s: float = 0.0) -> float | None:
        """How long the video that comes now takes; None where `places` are taken, and it is refused.

        It keeps its place for `beyond_s` more, of its time with others.
        """
        while self._inside and self._inside[0] <= came_s:
            heapq.heappop(self._inside)
        if len(self._inside) >= places:
            return None
        done_s = max(came_s, self._free_s[0]) + self._work_s()
        heapq.heapreplace(self._free_s, done_s)
        heapq.heappush(self._inside, done_s + beyond_s)
        return done_s - came_s

    def _work_s(self) -> float:
        variation = self.node.variation
        if not variation:
            return self.node.service_s
        return self._draw.gammavariate(variation**-2, self.node.service_s * variation**2)


def poisson(rate_per_s: float, seed: int = 0) -> Iterator[float]:
    """When independent callers come, in seconds, without end."""
    draw, time_s = random.Random(seed), 0.0
    while True:
        time_s += draw.expovariate(rate_per_s)
        yield time_s


def uniform(rate_per_s: float) -> Iterator[float]:
    """The same rate with equal pauses."""
    number = 0
    while True:
        yield number / rate_per_s
        number += 1


def latencies_s(node: Node, arrivals: Iterable[float], videos: int, nodes: int = 1) -> list[float]:
    """The latencies of so many videos that were not refused, sorted; `nodes` get them in turn."""
    queues = [Queue(node, seed) for seed in range(nodes)]
    taken = (queues[number % nodes].latency_s(came_s) for number, came_s in zip(range(videos), arrivals, strict=False))
    return sorted(latency_s for latency_s in taken if latency_s is not None)
