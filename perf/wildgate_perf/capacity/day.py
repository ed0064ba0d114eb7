"""A day of a fleet: demand that rises and falls, nodes that come late, a zone that is lost. On simpy.

- Demand follows a von Mises curve with the peak factor that is asked for, and has a short spike of its own besides.
- Where callers spread evenly over a fleet, each node is a queue by itself with its share of Poisson arrivals (splitting
  such a stream at random gives such streams: J. F. C. Kingman, "Poisson Processes", 1993). So one of each kind is
  watched all day, at the rate that its fleet leaves it, up to 200 videos every step.
- Nodes are added and taken away as Kubernetes' HorizontalPodAutoscaler does: so many that utilisation would be as is
  wanted, not for less than a tenth of it, and fewer only when that held for a while. A new one is ready after a while.
- A zone that is lost takes its nodes along; what they had is asked again by callers. It comes back empty.

Refused videos are not asked again here, callers that wait do not ask for less, and there are no spare nodes.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import simpy
from pydantic import BaseModel, ConfigDict, Field

from wildgate_perf.capacity.model import Demand, mixed_work_s
from wildgate_perf.capacity.profile import CapacityError, Profile
from wildgate_perf.capacity.queueing import Node, Queue

_HOUR_S, _DAY_S = 3600.0, 86_400.0
_WATCHED = 200  # videos of a step
_TOLERANCE = 0.1  # the HorizontalPodAutoscaler's own


class DayOptions(BaseModel):
    """What happens in the day, beside the demand."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    peak_hour: float = Field(20.0, ge=0, lt=24)
    """When the peak is."""
    spike_factor: float = Field(1.3, ge=1)
    """How much more comes during a spike, all at once."""
    spike_hour: float = Field(12.0, ge=0, lt=24)
    """When it begins."""
    spike_minutes: float = Field(15.0, ge=0)
    """How long it lasts; 0: there is none."""
    zones: int = Field(3, ge=1)
    """Zones that nodes are spread over."""
    lost_hour: float = Field(20.0, ge=0, lt=24)
    """When one of them is lost."""
    lost_minutes: float = Field(30.0, ge=0)
    """For how long; 0: none is."""
    start_s: float = Field(180.0, ge=0)
    """From the decision to add a node until it answers."""
    scale_every_s: float = Field(15.0, gt=0)
    """How often that is decided."""
    scale_down_after_s: float = Field(300.0, ge=0)
    """How long fewer nodes must have been enough before some go."""
    gateway_cores: int | None = Field(None, ge=1)
    """Gateways apart from Triton's nodes, with so many cores each; without it, both are on every node."""
    gateway_price_per_hour: float | None = Field(None, ge=0)
    """Of such a gateway."""
    max_in_flight: int = Field(64, ge=1)
    """Videos in a gateway at once; one more is refused."""


@dataclass
class Tier:
    """Nodes of one kind: those that are ready and those that start, by zone, and the one that is watched."""

    name: str
    queue: Queue
    price_per_hour: float | None
    ready: list[int]
    starting: list[int]
    wanted: deque[tuple[float, int]] = field(default_factory=deque)
    """What the autoscaler found to be enough, and when."""
    clock_s: float = 0.0

    @property
    def nodes(self) -> int:
        """Those that answer, at least one: the last one is never taken away."""
        return max(1, sum(self.ready))


@dataclass(frozen=True)
class Step:
    """What held at one time. Latencies are of watched videos, seconds; `refused` is a share of what came."""

    hour: float
    offered_per_s: float
    nodes: dict[str, int]
    starting: int
    peak_per_s: float
    latencies_s: Sequence[float]
    refused: float


@dataclass
class Day:
    """What came of a day."""

    options: DayOptions
    steps: list[Step] = field(default_factory=list)
    asked_again: float = 0.0
    cost: float | None = None

    @property
    def videos(self) -> float:
        """Videos that were asked about."""
        return sum(step.offered_per_s for step in self.steps) * self.options.scale_every_s

    @property
    def refused(self) -> float:
        """Those that were refused."""
        return sum(step.offered_per_s * step.refused for step in self.steps) * self.options.scale_every_s

    def node_hours(self, tier: str) -> float:
        """What was paid for: those that start, too."""
        return sum(step.nodes[tier] for step in self.steps) * self.options.scale_every_s / _HOUR_S

    def latency_ms(self, share: float, steps: Sequence[Step] | None = None) -> float:
        """What a share of the videos of the day, or of some steps, kept, weighted by how many came; NaN without any."""
        watched = [step for step in steps or self.steps if len(step.latencies_s)]
        if not watched:
            return math.nan
        took_s = np.concatenate([step.latencies_s for step in watched])
        weights = np.repeat(
            [step.offered_per_s / len(step.latencies_s) for step in watched],
            [len(step.latencies_s) for step in watched],
        )
        order = np.argsort(took_s)
        below = np.cumsum(weights[order])
        return float(took_s[order][np.searchsorted(below, share * below[-1])]) * 1e3

    def worst(self) -> tuple[float, float]:
        """Of the five minutes with the longest p99: the hour, and that p99 in milliseconds."""
        tails = [(self.latency_ms(0.99, steps), steps[0].hour) for steps in self.minutes()]
        tail_ms, hour = max(tail for tail in tails if not math.isnan(tail[0]))
        return hour, tail_ms

    def minutes(self, length: int = 5) -> list[list[Step]]:
        """The steps, so many minutes of them together."""
        together = max(1, round(length * 60 / self.options.scale_every_s))
        return [self.steps[first : first + together] for first in range(0, len(self.steps), together)]


def tiers_of(profile: Profile, demand: Demand, options: DayOptions) -> list[tuple[str, Node, float | None]]:
    """The nodes that videos go through: all in one, or gateways and Tritons. Raises `CapacityError`."""
    measured, work_s = Node.of(profile, demand.work_variation), mixed_work_s(profile, demand)
    node = replace(measured, service_s=work_s * measured.servers)
    if options.gateway_cores is None:
        return [("node", node, demand.node_price_per_hour)]
    if profile.gateway_cpu_ms is None or profile.triton_cpu_ms is None:
        raise CapacityError("gateway_cores: the profile does not tell the work of gateways from that of Triton")
    share = profile.gateway_cpu_ms / (profile.gateway_cpu_ms + profile.triton_cpu_ms)
    gateway_s = profile.gateway_cpu_ms / 1e3 * work_s * profile.curve_peak_per_s
    return [
        ("gateway", Node(options.gateway_cores, gateway_s, demand.work_variation), options.gateway_price_per_hour),
        ("Triton", replace(node, service_s=node.service_s * (1 - share)), demand.node_price_per_hour),
    ]


def simulate(tiers: Sequence[tuple[str, Node, float | None]], demand: Demand, options: DayOptions) -> Day:
    """A day of a fleet of such tiers, name, node and price each, that a video goes through in turn."""
    return _Fleet(tiers, demand, options).run()


class _Fleet:
    def __init__(self, tiers: Sequence[tuple[str, Node, float | None]], demand: Demand, options: DayOptions) -> None:
        self._demand, self._options = demand, options
        self._env = simpy.Environment()
        self._draw = random.Random(1)
        self._rate = _DayCurve(demand, options)
        self._day = Day(options)
        self._lost: int | None = None
        self._refused = 0.0
        self._tiers = []
        for name, node, price in tiers:
            enough = self._enough(node, self._rate.per_s(0.0))
            spread = [len(range(zone, enough, options.zones)) for zone in range(options.zones)]
            self._tiers.append(Tier(name, Queue(node), price, spread, [0] * options.zones))

    def run(self) -> Day:
        self._env.process(self._steps())
        if self._options.lost_minutes:
            self._env.process(self._lose_a_zone())
        self._env.run(until=_DAY_S)
        prices = [(tier.price_per_hour, self._day.node_hours(tier.name)) for tier in self._tiers]
        if all(price is not None for price, _ in prices):
            self._day.cost = sum((price or 0.0) * hours for price, hours in prices)
        return self._day

    def _steps(self) -> Generator[Any, Any, None]:
        """Watches, then scales, over and over."""
        while True:
            rate_per_s = self._rate.per_s(self._env.now)
            took_s, refused = [0.0] * _WATCHED, 0.0
            # From the last to the first, where a video keeps its place until it is through.
            for tier in reversed(self._tiers):
                first = tier is self._tiers[0]
                came_per_s = rate_per_s * (1 if first else 1 - self._refused)
                took_s, refused = self._watch(
                    tier, came_per_s, took_s, self._options.max_in_flight if first else math.inf
                )
                self._scale(tier, came_per_s)
            self._refused = refused
            self._day.steps.append(
                Step(
                    hour=self._env.now / _HOUR_S,
                    offered_per_s=rate_per_s,
                    nodes={tier.name: sum(tier.ready) + sum(tier.starting) for tier in self._tiers},
                    starting=sum(sum(tier.starting) for tier in self._tiers),
                    peak_per_s=min(tier.nodes * tier.queue.node.peak_per_s for tier in self._tiers),
                    latencies_s=took_s,
                    refused=refused,
                )
            )
            yield self._env.timeout(self._options.scale_every_s)

    def _watch(
        self, tier: Tier, rate_per_s: float, beyond_s: Sequence[float], places: float
    ) -> tuple[list[float], float]:
        """Of one of its nodes: latencies, with those of the tiers beyond, and the share that was refused."""
        share_per_s = rate_per_s / tier.nodes
        videos = max(1, min(_WATCHED, int(share_per_s * self._options.scale_every_s)))
        took_s = []
        for _ in range(videos):
            tier.clock_s += self._draw.expovariate(share_per_s)
            more_s = self._draw.choice(beyond_s)
            latency_s = tier.queue.latency_s(tier.clock_s, places, more_s)
            if latency_s is not None:
                took_s.append(latency_s + more_s)
        return took_s, 1 - len(took_s) / videos

    def _scale(self, tier: Tier, rate_per_s: float) -> None:
        now, there = self._env.now, sum(tier.ready) + sum(tier.starting)
        utilisation = min(1.0, rate_per_s / (tier.nodes * tier.queue.node.peak_per_s))
        over = utilisation * tier.nodes / there / self._demand.target_utilisation
        enough = there if abs(over - 1) < _TOLERANCE else math.ceil(there * over)
        enough = max(self._options.zones, enough)
        while tier.wanted and tier.wanted[0][0] < now - self._options.scale_down_after_s:
            tier.wanted.popleft()
        tier.wanted.append((now, enough))
        enough = max(found for _, found in tier.wanted)
        for _ in range(enough - there):
            zone = min(self._zones(), key=lambda zone: tier.ready[zone] + tier.starting[zone])
            self._env.process(self._start(tier, zone))
        for _ in range(there - enough):
            zone = max(self._zones(), key=lambda zone: tier.ready[zone])
            tier.ready[zone] -= min(1, tier.ready[zone])

    def _enough(self, node: Node, rate_per_s: float) -> int:
        return max(self._options.zones, math.ceil(rate_per_s / node.peak_per_s / self._demand.target_utilisation))

    def _zones(self) -> list[int]:
        return [zone for zone in range(self._options.zones) if zone != self._lost]

    def _start(self, tier: Tier, zone: int) -> Generator[Any, Any, None]:
        tier.starting[zone] += 1
        yield self._env.timeout(self._options.start_s)
        if tier.starting[zone]:  # the zone may have gone meanwhile
            tier.starting[zone] -= 1
            tier.ready[zone] += 1

    def _lose_a_zone(self) -> Generator[Any, Any, None]:
        if self._options.zones == 1:
            return
        yield self._env.timeout(self._options.lost_hour * _HOUR_S)
        self._lost = 0
        last = self._day.steps[-1]
        under_way = last.offered_per_s * sum(last.latencies_s) / max(1, len(last.latencies_s))
        self._day.asked_again = under_way * max(tier.ready[0] / tier.nodes for tier in self._tiers)
        for tier in self._tiers:
            tier.ready[0] = tier.starting[0] = 0
        yield self._env.timeout(self._options.lost_minutes * 60)
        self._lost = None


class _DayCurve:
    """Videos a second by the time of the day."""

    def __init__(self, demand: Demand, options: DayOptions) -> None:
        self._options = options
        self._mean_per_s = demand.videos_per_day / _DAY_S
        self._narrow = _narrowness(demand.peak_factor)
        self._level = float(np.i0(self._narrow))

    def per_s(self, time_s: float) -> float:
        """At so many seconds after midnight."""
        options, hour = self._options, time_s / _HOUR_S
        angle = 2 * math.pi * (hour - options.peak_hour) / 24
        rate = self._mean_per_s * math.exp(self._narrow * math.cos(angle)) / self._level
        spike = 0 <= hour - options.spike_hour < options.spike_minutes / 60
        return rate * (options.spike_factor if spike else 1.0)


def _narrowness(peak_factor: float) -> float:
    """The concentration of a von Mises curve whose peak is so many times its mean."""
    least, most = 0.0, 700.0
    for _ in range(60):
        middle = (least + most) / 2
        if math.exp(middle) / np.i0(middle) < peak_factor:
            least = middle
        else:
            most = middle
    return least
