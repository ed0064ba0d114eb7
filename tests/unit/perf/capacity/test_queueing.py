"""The queue against formulas that are known to hold."""

from __future__ import annotations

import math

import pytest

from wildgate_perf.capacity.profile import Profile
from wildgate_perf.capacity.queueing import Node, Queue, latencies_s, poisson, uniform
from wildgate_perf.loops import percentile


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_server_with_work_of_exponential_length(load: float) -> None:
    """M/M/1: latency is exponential with mean S / (1 - load)."""
    took_s = latencies_s(Node(1, 0.1, variation=1.0), poisson(load / 0.1), 200_000)
    for share in (0.5, 0.9, 0.99):
        assert percentile(took_s, share) == pytest.approx(-math.log(1 - share) * 0.1 / (1 - load), rel=0.1)


def test_one_server_with_work_of_one_length() -> None:
    """M/D/1: the mean wait is load * S / (2 (1 - load)) (Pollaczek-Khinchine)."""
    took_s = latencies_s(Node(1, 0.1, variation=0.0), poisson(6), 200_000)
    assert sum(took_s) / len(took_s) == pytest.approx(0.1 + 0.6 * 0.1 / 0.8, rel=0.03)


def test_nobody_waits_where_callers_come_evenly_and_work_is_even() -> None:
    assert latencies_s(Node(2, 0.1, variation=0.0), uniform(19), 100) == pytest.approx([0.1] * 100)


def test_a_full_node_refuses_and_a_video_keeps_its_place_until_it_is_through() -> None:
    queue = Queue(Node(1, 1.0, variation=0.0))
    assert [queue.latency_s(0.0, places=2), queue.latency_s(0.0, places=2), queue.latency_s(0.5, places=2)] == [
        1,
        2,
        None,
    ]
    assert queue.latency_s(2.5, places=1, beyond_s=5.0) == 1.0
    assert queue.latency_s(8.0, places=1) is None
    assert queue.latency_s(8.6, places=1) == 1.0


def test_a_node_works_on_as_many_as_the_peak_and_a_video_alone_say() -> None:
    measured = Profile.model_validate({"cores": 2, "peak_per_s": {"uri": 1000}, "unloaded_ms": 32})
    assert Node.of(measured, 0.5) == Node(32, 0.032, 0.5)
    assert Node.of(measured.model_copy(update={"unloaded_ms": None}), 0.5).servers == 2
