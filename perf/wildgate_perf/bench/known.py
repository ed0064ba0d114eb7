"""Figures that a run does not measure itself: those of an earlier run, and those of `make bench-peers`.

Ratios move with processor, cores and versions, so they are taken over only where all of these are the same.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from wildgate_perf.machine_facts import same_machine
from wildgate_perf.results import figure_of

__all__ = ["PEER_KEYS", "PHASE_KEYS", "Known", "known_before", "known_of_peers"]

PHASE_KEYS: Mapping[str, tuple[str, ...]] = {
    "uri_over_offline": ("served_over_offline_uri",),
    "content_over_offline": ("served_over_offline_content",),
    "gateway_over_direct": (
        "gateway_over_direct",
        "gateway_over_direct_whole",
        "gateway_over_direct_cut",
        "gateway_added_p50_ms",
    ),
    "uri_bytes_fraction": ("uri_bytes_fraction",),
    "cached_over_first": ("cached_over_first",),
    "sampling_over_decoding": ("sampling_over_decoding",),
    "latency_over_load": (
        "latency_over_load",
        "p99_at_70pct_over_unloaded_p50",
        "poisson_p99_at_70pct_over_unloaded_p50",
        "goodput_at_3x_over_peak",
    ),
}
"""The keys of `latest.json` that each phase finds, among figures and details."""

PEER_KEYS = ("over_best_peer", "over_common_script")
_OF_THE_RUN = ("failed", "plan")  # details that tell of a run, not of what it found


@dataclass(frozen=True)
class Known:
    """Figures and details by key, and when each figure was measured (ISO 8601)."""

    figures: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, str] = field(default_factory=dict)


def known_before(latest: Mapping[str, Any], machine: Mapping[str, Any], again: Collection[str]) -> Known:
    """What an earlier `latest.json` knows of other phases than those that are run `again`.

    Nothing where it was measured on another machine. A figure that missed its target for being infinite, which JSON
    cannot tell, is infinite again.
    """
    if not same_machine(latest.get("machine") or {}, machine):
        return Known()
    dates, targets = latest.get("measured_at") or {}, latest.get("targets") or {}
    found = Known()
    for phase, keys in PHASE_KEYS.items():
        if phase in again:
            continue
        for key in keys:
            figure = latest.get(key)
            if figure is None and (targets.get(key) or {}).get("met") is False:
                figure = math.inf
            if figure is not None:
                found.figures[key] = figure
                found.measured[key] = dates.get(key) or latest.get("measured") or "unknown"
    gone = {key for phase in again for key in PHASE_KEYS[phase]}
    found.details.update(
        {key: value for key, value in (latest.get("details") or {}).items() if key not in (*gone, *_OF_THE_RUN)}
    )
    return found


def known_of_peers(peers: Mapping[str, Any], machine: Mapping[str, Any]) -> Known:
    """The two figures of `peers.json`; nothing where it was measured on another machine."""
    if not same_machine(peers.get("machine") or {}, machine):
        return Known()
    figures = {key: figure for key in PEER_KEYS if (figure := figure_of(peers, key)) is not None}
    return Known(figures, measured=dict.fromkeys(figures, peers.get("measured") or "unknown"))
