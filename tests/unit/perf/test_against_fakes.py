"""Sweep and capacity runs from end to end, on servers that only hold each request for a while."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from checkout import SUPPORT

from wildgate_perf.bench.phase import Way
from wildgate_perf.capacity.real_runs import compare_nodes
from wildgate_perf.load_generator import LoadGenerator
from wildgate_perf.sweep import compare_knob, what_limits
from wildgate_perf.workloads import Requests, by_uri


@contextmanager
def holding(hold_s: float) -> Iterator[Requests]:
    program = (sys.executable, SUPPORT / "fake_server.py", "--hold-s", str(hold_s))
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield by_uri(f"127.0.0.1:{int(server.stdout.readline())}", ["file:///a.mp4"])
        server.kill()


def test_a_setting_that_makes_a_server_four_times_slower_is_found_out() -> None:
    with holding(0.05) as quick, holding(0.2) as slow, LoadGenerator() as load:
        as_it_is, changed = (Way(load, workload, clients=4) for workload in (quick, slow))
        tried = compare_knob(("batch.max_rows", "1"), as_it_is, changed, rate_per_s=5, rounds=1, seconds=1.0)
        limits, peak_per_s = what_limits(as_it_is, seconds=1.0)
    assert tried.name == "--batch.max-rows 1"
    assert tried.per_s.median < 0.8
    assert tried.p99_ms.median > 1.2
    assert peak_per_s == pytest.approx(80, rel=0.9)
    assert "infer takes" in limits[0]


def test_runs_are_made_on_one_node_and_on_two() -> None:
    with holding(0.02) as one, holding(0.02) as other:
        profile, rows = compare_nodes([one, other], cores=1, seconds=1.0, say=lambda _: None, warm_up_s=0.2)
    assert [point.nodes for point in profile.points] == [1, 1, 2]
    assert all(row.p50_ms.predicted and row.p99_ms.measured for row in rows)
    assert profile.unloaded_ms is not None
