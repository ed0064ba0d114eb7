"""What Prometheus scrapes."""

from __future__ import annotations

import math
import random
import shutil
import subprocess

import pytest
from prometheus_client import generate_latest

from wildgate_server.metrics import Metrics
from wildgate_server.server_metrics import TIME_BUCKETS_S
from wildgate_server.stages import Stage


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_videos_are_counted_by_outcome() -> None:
    metrics = Metrics()
    metrics.answered("BLOCK", {})
    metrics.answered("BLOCK", {})
    metrics.answered("NOT_A_VIDEO")
    assert value(metrics, "wildgate_videos_total", outcome="block", priority="high") == 2
    assert value(metrics, "wildgate_videos_total", outcome="not_a_video", priority="high") == 1
    assert value(metrics, "wildgate_videos_total", outcome="allow", priority="high") is None


def test_stage_times_are_seconds_in_their_buckets() -> None:
    metrics = Metrics()
    metrics.answered("ALLOW", {Stage.INFER: 30.0, Stage.TOTAL: 600.0})
    metrics.answered("ALLOW", {Stage.INFER: 10.0})
    assert value(metrics, "wildgate_stage_seconds_sum", stage="infer") == 0.04
    assert value(metrics, "wildgate_stage_seconds_count", stage="infer") == 2
    assert value(metrics, "wildgate_stage_seconds_bucket", stage="infer", le="0.01") == 1
    assert value(metrics, "wildgate_stage_seconds_bucket", stage="total", le="0.56") == 0
    assert value(metrics, "wildgate_stage_seconds_bucket", stage="total", le="0.62") == 1


def test_every_stage_is_there_from_the_start_under_its_own_name() -> None:
    for stage in Stage:
        assert value(Metrics(), "wildgate_stage_seconds_count", stage=stage.value) == 0


def test_a_gauge_is_read_when_it_is_scraped() -> None:
    metrics = Metrics()
    depth = [3]
    metrics.gauge("wildgate_rows_waiting", "Rows.", lambda: depth[0])
    assert value(metrics, "wildgate_rows_waiting") == 3
    depth[0] = 8
    assert b"wildgate_rows_waiting 8.0" in generate_latest(metrics.registry)


@pytest.mark.parametrize("median_s", [0.05, 0.2, 1.5])
@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_quantiles_of_buckets_are_near_the_true_ones(median_s: float, share: float) -> None:
    drawn = random.Random(7)
    times = sorted(drawn.lognormvariate(math.log(median_s), 0.4) for _ in range(5000))
    wanted = share * len(times)
    below, low = 0, 0.0
    for edge in TIME_BUCKETS_S:  # as histogram_quantile() does
        count = sum(time <= edge for time in times)
        if count >= wanted:
            told = low + (edge - low) * (wanted - below) / (count - below)
            break
        below, low = count, edge
    assert told == pytest.approx(times[int(wanted) - 1], rel=0.05)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian: prometheus)")
def test_promtool_has_nothing_to_say() -> None:
    metrics = Metrics()
    metrics.answered("ALLOW", {Stage.DECODE: 30.0})
    metrics.judged([("ivory", "BLOCK")], gap_s=2, looked_at=8, unsound=0)
    metrics.scored(0.3, "REVIEW")
    metrics.call_began("unary", "s", "m")
    metrics.call_ended("unary", "s", "m", "OK", 0.1)
    with metrics.asked("video_scorer", 3):
        metrics.triton_failed("video_scorer", "BACKEND_UNAVAILABLE")
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=generate_latest(metrics.registry), capture_output=True, check=False
    )
    assert checked.stdout + checked.stderr == b""
