"""Latency of a node by how busy it is, the work of videos, and the fleet that a demand needs.

See the package for where the model comes from.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wildgate_perf.capacity.profile import CapacityError, Profile
from wildgate_perf.capacity.queueing import Node, latencies_s, poisson
from wildgate_perf.loops import percentile
from wildgate_server.repository.yaml_document import faults, read_document

_DAY_S, _HOURS = 86_400, 24
_STEPS, _VIDEOS = 20, 20_000  # of a latency curve: loads 5 % apart, videos at each


class Demand(BaseModel):
    """Videos per day, what they are like, and what is wanted of the nodes that score them."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    videos_per_day: float = Field(gt=0)
    """Videos in a day."""
    peak_factor: float = Field(2.0, ge=1)
    """Videos per second at the peak of the day over their mean."""
    mean_seconds: float = Field(15.0, gt=0)
    """Length of a video."""
    mean_bytes: float = Field(5e6, gt=0)
    """Size of a video."""
    work_variation: float = Field(0.5, ge=0, le=3)
    """How much the work of videos differs: its standard deviation over its mean; 0.1 for those of `make bench`."""
    cached_share: float = Field(0.0, ge=0, le=1)
    """Videos whose verdict is in the cache."""
    uri_share: float = Field(1.0, ge=0, le=1)
    """Videos given by URI; the others are sent as content."""
    digest_first: bool = False
    """Callers ask by digest first, and give the video only where that has no verdict."""
    target_utilisation: float = Field(0.7, gt=0, lt=1)
    """How busy a node may be at the peak, with the spare nodes away."""
    spare_nodes: int = Field(1, ge=0)
    """Nodes that may fail or be away at the peak."""
    p99_ms: float | None = Field(None, gt=0)
    """Latency objective at the peak; nodes are kept less busy than the target where it takes that."""
    node_price_per_hour: float | None = Field(None, ge=0)
    """In any currency; without it there is no cost."""

    @property
    def peak_per_s(self) -> float:
        """Videos per second at the peak of the day."""
        return self.videos_per_day / _DAY_S * self.peak_factor


def demand_of(file: Path | None, given: Mapping[str, Any]) -> Demand:
    """The demand in a YAML file, with the fields in `given` (None: not given) over it; raises `CapacityError`."""
    content: dict[str, Any] = {}
    if file is not None:
        content = read_document(file, Demand, CapacityError).model_dump(exclude_unset=True)
    content |= {name: value for name, value in given.items() if value is not None}
    try:
        return Demand.model_validate(content)
    except ValidationError as error:
        raise CapacityError("\n".join(faults(error))) from error


@dataclass(frozen=True)
class LatencyCurve:
    """Latency of a node by how busy it is, where callers come independently of each other; unknown past the last point.

    `points` are utilisation, p50 and p99 in milliseconds, by utilisation.
    """

    points: Sequence[tuple[float, float, float]]

    @classmethod
    @cache
    def of(cls, node: Node) -> LatencyCurve:
        """The curve of the node as a queue, see `queueing`."""
        loads = [load / _STEPS for load in range(1, _STEPS)]
        found = [latencies_s(node, poisson(load * node.peak_per_s), _VIDEOS) for load in loads]
        medians, tails = ([percentile(each, share) * 1e3 for each in found] for share in (0.5, 0.99))
        # More load never takes less time; where it comes out so, that is the draw.
        return cls(tuple(zip(loads, accumulate(medians, max), accumulate(tails, max), strict=True)))

    def percentile_ms(self, share: float, utilisation: float) -> float | None:
        """Milliseconds that a `share` (0.5 or 0.99) of the videos keep, straight between points; None beyond them."""
        column = {0.5: 1, 0.99: 2}[share]
        right = bisect_left(self.points, utilisation, key=lambda point: point[0])
        if right == len(self.points):
            return None
        if right == 0:
            return self.points[0][column]
        below, above = self.points[right - 1], self.points[right]
        part = (utilisation - below[0]) / (above[0] - below[0])
        return below[column] + part * (above[column] - below[column])


def first_work_s(profile: Profile, uri_share: float, seconds: float) -> float:
    """Node-seconds of a video that was not seen before: a share by URI, the others as content, of such a length.

    Raises `CapacityError` where the profile has no peak for a way that videos come.
    """
    scale, work_s = profile.windows(seconds) / profile.windows(profile.video_seconds), 0.0
    for way, share in (("uri", uri_share), ("content", 1 - uri_share)):
        peak: float | None = getattr(profile.peak_per_s, way)
        if share > 0:
            if peak is None:
                raise CapacityError(f"peak_per_s.{way} was not measured, and {share:.0%} of the videos come so")
            work_s += share * scale / peak
    return work_s


def mixed_work_s(profile: Profile, demand: Demand) -> float:
    """Node-seconds of a video of the demand on average, cached ones included.

    Asked by digest first, every video costs a look into the cache, and cached ones nothing else. Otherwise a cached
    video costs what was measured for content sent again; by URI it is read and sampled to be known again, so that its
    length matters. Raises `CapacityError` where cached videos were not measured.
    """
    first_s = first_work_s(profile, demand.uri_share, demand.mean_seconds)
    cost = profile.cached_over_first
    if cost is None:
        if demand.cached_share or demand.digest_first:
            raise CapacityError("cached_over_first was not measured, and the demand has cached videos")
        return first_s
    if demand.digest_first:
        # The look into the cache was measured against a first video of the profile's own length.
        look_s = cost.by_digest * first_work_s(profile, demand.uri_share, profile.video_seconds)
        return look_s + (1 - demand.cached_share) * first_s
    again_s = 0.0
    if demand.uri_share > 0:
        by_uri = 1.0 if cost.by_uri is None else cost.by_uri
        again_s += demand.uri_share * by_uri * first_work_s(profile, 1.0, demand.mean_seconds)
    if demand.uri_share < 1:
        again_s += (1 - demand.uri_share) * cost.by_content * first_work_s(profile, 0.0, profile.video_seconds)
    return demand.cached_share * again_s + (1 - demand.cached_share) * first_s


@dataclass(frozen=True)
class FleetPlan:
    """A fleet. Utilisations are shares of a saturated node, bandwidths bits per second at the peak of the day."""

    demand: Demand
    work_s: float
    """Node-seconds that a video takes on average."""
    allowed_utilisation: float
    """The target, or less where the latency objective takes it."""
    carrying_nodes: int
    """Nodes that the peak needs; the spare ones come on top."""
    nodes: int
    utilisation_at_peak: float
    utilisation_without_spare: float
    p50_ms_at_peak: float | None
    p99_ms_at_peak: float | None
    p99_ms_without_spare: float | None
    bits_in_per_s: float
    bits_out_per_s: float
    headroom: float
    """The peak could grow by this factor until the fleet without its spare nodes is as busy as allowed."""
    headroom_to_saturation: float
    """The same until all nodes are saturated and videos are refused."""
    cost_per_million: float | None
    """Of a fleet that stands all day."""
    cost_per_million_if_scaled: float | None
    """The least: of a fleet that follows the load of the day exactly, with its spare nodes."""


def plan_fleet(profile: Profile, demand: Demand) -> FleetPlan:
    """The smallest fleet for the demand; raises `CapacityError`, also for an objective that no fleet meets.

    The latency is that of a video that is looked at, by URI: cached ones are quicker.
    """
    curve = LatencyCurve.of(Node.of(profile, demand.work_variation))
    work_s, allowed = mixed_work_s(profile, demand), _allowed_utilisation(curve, demand)
    busy_nodes = demand.peak_per_s * work_s
    carrying = max(1, math.ceil(round(busy_nodes / allowed, 9)))
    nodes = carrying + demand.spare_nodes
    at_peak, without_spare = busy_nodes / nodes, busy_nodes / carrying
    # Content reaches a node whole, by URI only what is read of it.
    fraction_in = demand.uri_share * profile.uri_bytes_fraction + (1 - demand.uri_share)
    sent_share = 1 - demand.cached_share if demand.digest_first else 1.0
    return FleetPlan(
        demand=demand,
        work_s=work_s,
        allowed_utilisation=allowed,
        carrying_nodes=carrying,
        nodes=nodes,
        utilisation_at_peak=at_peak,
        utilisation_without_spare=without_spare,
        p50_ms_at_peak=curve.percentile_ms(0.5, at_peak),
        p99_ms_at_peak=curve.percentile_ms(0.99, at_peak),
        p99_ms_without_spare=curve.percentile_ms(0.99, without_spare),
        bits_in_per_s=8 * demand.peak_per_s * demand.mean_bytes * fraction_in * sent_share,
        bits_out_per_s=8 * demand.peak_per_s * profile.answer_bytes,
        headroom=allowed / without_spare,
        headroom_to_saturation=1 / at_peak,
        cost_per_million=_cost(nodes, demand),
        cost_per_million_if_scaled=_cost(busy_nodes / demand.peak_factor / allowed + demand.spare_nodes, demand),
    )


def _allowed_utilisation(curve: LatencyCurve, demand: Demand) -> float:
    """The target, or the highest utilisation, to a thousandth, that keeps the objective."""
    if demand.p99_ms is None:
        return demand.target_utilisation
    for thousandths in range(int(demand.target_utilisation * 1000), 0, -1):
        latency = curve.percentile_ms(0.99, thousandths / 1000)
        if latency is not None and latency <= demand.p99_ms:
            return thousandths / 1000
    idle_ms = curve.points[0][2]
    raise CapacityError(f"p99_ms is {demand.p99_ms:g}, and an idle node takes {idle_ms:.0f} ms")


def _cost(nodes: float, demand: Demand) -> float | None:
    if demand.node_price_per_hour is None:
        return None
    return nodes * demand.node_price_per_hour * _HOURS / demand.videos_per_day * 1e6
