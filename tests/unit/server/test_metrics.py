"""What Prometheus scrapes."""

from __future__ import annotations

from prometheus_client import generate_latest

from wildgate_server.metrics import Metrics
from wildgate_server.stages import Stage


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_videos_are_counted_by_outcome() -> None:
    metrics = Metrics()
    metrics.answered("BLOCK", {})
    metrics.answered("BLOCK", {})
    metrics.answered("NOT_A_VIDEO")
    assert value(metrics, "wildgate_videos_total", outcome="block") == 2
    assert value(metrics, "wildgate_videos_total", outcome="not_a_video") == 1
    assert value(metrics, "wildgate_videos_total", outcome="allow") is None


def test_stage_times_are_seconds_in_their_buckets() -> None:
    metrics = Metrics()
    metrics.answered("ALLOW", {Stage.INFER: 30.0, Stage.TOTAL: 600.0})
    metrics.answered("ALLOW", {Stage.INFER: 10.0})
    assert value(metrics, "wildgate_stage_seconds_sum", stage="infer") == 0.04
    assert value(metrics, "wildgate_stage_seconds_count", stage="infer") == 2
    assert value(metrics, "wildgate_stage_seconds_bucket", stage="infer", le="0.01") == 1
    assert value(metrics, "wildgate_stage_seconds_bucket", stage="total", le="0.5") == 0
    assert value(metrics, "wildgate_stage_seconds_bucket", stage="total", le="1.0") == 1


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
