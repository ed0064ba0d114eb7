"""Nodes, bandwidth, cost and headroom for a demand."""

from __future__ import annotations

import math
from dataclasses import dataclass

from wildgate_perf.capacity.demand import Demand
from wildgate_perf.capacity.errors import NoFleet
from wildgate_perf.capacity.latency import LatencyModel, busiest, latency_model
from wildgate_perf.capacity.profile import Profile
from wildgate_perf.capacity.work import mixed_work_s

__all__ = ["FleetPlan", "plan_fleet"]

_HOURS = 24


@dataclass(frozen=True)
class FleetPlan:
    """A fleet. Utilisations are shares of a saturated node, bandwidths bits a second at the peak of the day."""

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
    latency_model: str
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


def plan_fleet(profile: Profile, demand: Demand, model: LatencyModel | None = None) -> FleetPlan:
    """The smallest fleet for the demand; raises `BadProfile`, and `NoFleet` for an objective that no fleet meets.

    The latency is that of a video which is looked at, by URI: cached ones are quicker.
    """
    model = model or latency_model(profile)
    work_s = mixed_work_s(profile, demand)
    allowed = demand.target_utilisation
    if demand.p99_ms is not None:
        kept = busiest(model, demand.p99_ms, allowed)
        if kept is None:
            idle_ms = model.p99_ms(0.0)
            raise NoFleet(f"p99_ms is {demand.p99_ms:g}, and an idle node takes {idle_ms:.0f} ms by the {model.name}")
        allowed = kept
    busy_nodes = demand.peak_per_s * work_s
    carrying = max(1, math.ceil(round(busy_nodes / allowed, 9)))
    nodes = carrying + demand.spare_nodes
    at_peak, without_spare = busy_nodes / nodes, busy_nodes / carrying
    return FleetPlan(
        demand=demand,
        work_s=work_s,
        allowed_utilisation=allowed,
        carrying_nodes=carrying,
        nodes=nodes,
        utilisation_at_peak=at_peak,
        utilisation_without_spare=without_spare,
        p50_ms_at_peak=model.p50_ms(at_peak),
        p99_ms_at_peak=model.p99_ms(at_peak),
        p99_ms_without_spare=model.p99_ms(without_spare),
        latency_model=model.name,
        bits_in_per_s=8 * demand.peak_per_s * _bytes_in(profile, demand),
        bits_out_per_s=8 * demand.peak_per_s * profile.answer_bytes,
        headroom=allowed / without_spare,
        headroom_to_saturation=1 / at_peak,
        cost_per_million=_cost(nodes, demand),
        cost_per_million_if_scaled=_cost(busy_nodes / demand.peak_factor / allowed + demand.spare_nodes, demand),
    )


def _bytes_in(profile: Profile, demand: Demand) -> float:
    """Bytes of a video that reach a node on average: content whole, by URI only what is read of it."""
    way = demand.uri_share * profile.uri_bytes_fraction + (1 - demand.uri_share)
    sent_share = 1 - demand.cached_share if demand.digest_first else 1.0
    return demand.mean_bytes * way * sent_share


def _cost(nodes: float, demand: Demand) -> float | None:
    if demand.node_price_per_hour is None:
        return None
    return nodes * demand.node_price_per_hour * _HOURS / demand.videos_per_day * 1e6
