"""How long everything takes: the whole run less than ten minutes, a check of the harness one to three."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Lengths in seconds, numbers of rounds and of videos.

    `points` are offered loads, in shares of the peak, beside those that targets hang on.
    """

    videos: int = 4
    large_videos: int = 2
    clients_per_core: int = 4
    warm_up_s: float = 1.5

    offline_rounds: int = 5
    offline_round_s: float = 5.0

    direct_rounds: int = 3
    direct_round_s: float = 2.5
    added_s: float = 3.0

    points: tuple[float, ...] = (0.1, 0.3, 0.5, 0.85, 1.0, 1.5)
    load_rounds: int = 3
    peak_s: float = 7.0
    unloaded_s: float = 6.0
    steady_s: float = 12.0
    point_s: float = 7.0
    overload_warm_up_s: float = 4.0
    overload_s: float = 8.0

    peer_rounds: int = 3
    peer_s: float = 7.0
    peer_videos: int = 8

    cached_firsts: int = 16
    cached_s: float = 3.0
    decoding_rounds: int = 3

    rtx_s: float = 20.0
    rtx_clients: int = 64
    rtx_instances: int = 2


FULL = Plan()
QUICK = Plan(
    videos=1,
    large_videos=1,
    warm_up_s=0.5,
    offline_rounds=2,
    offline_round_s=1.5,
    direct_rounds=2,
    direct_round_s=0.7,
    added_s=0.7,
    points=(0.5,),
    load_rounds=1,
    peak_s=2.0,
    unloaded_s=1.5,
    steady_s=3.0,
    point_s=1.5,
    overload_warm_up_s=1.0,
    overload_s=2.0,
    peer_rounds=1,
    peer_s=3.0,
    cached_firsts=3,
    cached_s=0.5,
    decoding_rounds=1,
    rtx_s=2.0,
)
