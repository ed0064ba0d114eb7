"""Profiles and demands of known answers: work, nodes, bandwidth, cost, headroom, latency."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wildgate_perf.capacity.model import Demand, LatencyCurve, demand_of, first_work_s, mixed_work_s, plan_fleet
from wildgate_perf.capacity.profile import CapacityError, Profile, profile_of_bench, read_profile


def point(of_peak: float, p50_ms: float, p99_ms: float, arrivals: str = "uniform") -> dict[str, Any]:
    rate = 20 * of_peak
    return {
        "offered_per_s": rate,
        "answered_per_s": min(20.0, rate),
        "p50_ms": p50_ms,
        "p99_ms": p99_ms,
        "arrivals": arrivals,
    }


def profile(**changes: Any) -> Profile:
    """20 videos/s by URI and 10 as content on two cores."""
    return Profile.model_validate(
        {
            "cores": 2,
            "peak_per_s": {"uri": 20, "content": 10},
            "cached_over_first": {"by_digest": 0.01, "by_content": 0.1},
            "uri_bytes_fraction": 0.05,
            "answer_bytes": 1000,
            "video_bytes": 5e6,
            "points": [point(0.1, 100, 150), point(0.5, 120, 250), point(0.9, 200, 650), point(3.0, 4000, 9000)],
            **changes,
        }
    )


def demand(**changes: Any) -> Demand:
    return Demand.model_validate({"videos_per_day": 86_400 * 100, "peak_factor": 2, **changes})


@pytest.mark.parametrize(("seconds", "windows"), [(0.1, 1), (15, 1), (16, 1), (16.1, 2), (30, 2), (128, 8), (3600, 8)])
def test_longer_videos_have_more_windows_up_to_the_frame_budget(seconds: float, windows: int) -> None:
    assert profile().windows(seconds) == windows


def test_work_is_one_over_the_peak_and_grows_with_windows() -> None:
    assert first_work_s(profile(), 1.0, 15) == pytest.approx(0.05)
    assert first_work_s(profile(), 0.0, 15) == pytest.approx(0.1)
    assert first_work_s(profile(), 0.5, 30) == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("changes", "work_s"),
    [
        ({"cached_share": 0.0}, 0.05),
        ({"cached_share": 0.5}, 0.05),  # by URI, what a cached video costs was not measured
        ({"cached_share": 0.5, "uri_share": 0.0}, 0.5 * 0.1 + 0.5 * 0.01),
        ({"cached_share": 0.5, "digest_first": True}, 0.0005 + 0.5 * 0.05),
        ({"cached_share": 1.0, "digest_first": True, "mean_seconds": 60}, 0.0005),
    ],
)
def test_cached_videos_cost_what_was_measured(changes: dict[str, Any], work_s: float) -> None:
    assert mixed_work_s(profile(), demand(**changes)) == pytest.approx(work_s)


def test_cached_videos_by_uri_cost_their_share_where_it_was_measured() -> None:
    measured = profile(cached_over_first={"by_digest": 0.01, "by_content": 0.1, "by_uri": 0.2})
    assert mixed_work_s(measured, demand(cached_share=0.5)) == pytest.approx(0.5 * 0.05 + 0.5 * 0.2 * 0.05)


def test_what_was_not_measured_is_not_guessed() -> None:
    with pytest.raises(CapacityError, match=r"peak_per_s\.content was not measured, and 25% of the videos come so"):
        plan_fleet(profile(peak_per_s={"uri": 20}), demand(uri_share=0.75))
    with pytest.raises(CapacityError, match="cached_over_first was not measured"):
        plan_fleet(profile(cached_over_first=None), demand(cached_share=0.1))


def test_a_fleet_of_known_size() -> None:
    # 200 videos/s at the peak, 0.05 node-seconds each: 10 busy nodes, 20 at 50 %, and one spare.
    plan = plan_fleet(profile(), demand(target_utilisation=0.5, node_price_per_hour=0.5))
    assert (plan.carrying_nodes, plan.nodes) == (20, 21)
    assert plan.utilisation_at_peak == pytest.approx(10 / 21)
    assert plan.utilisation_without_spare == pytest.approx(0.5)
    assert plan.headroom == pytest.approx(1.0)
    assert plan.headroom_to_saturation == pytest.approx(2.1)
    assert plan.bits_in_per_s == pytest.approx(200 * 5e6 * 0.05 * 8)
    assert plan.bits_out_per_s == pytest.approx(200 * 1000 * 8)
    assert plan.cost_per_million == pytest.approx(21 * 0.5 * 24 / 8.64)
    assert plan.cost_per_million_if_scaled == pytest.approx((5 / 0.5 + 1) * 0.5 * 24 / 8.64)


def test_content_is_sent_whole_but_not_where_its_digest_is_known() -> None:
    sent = plan_fleet(profile(), demand(uri_share=0.0, cached_share=0.25))
    asked_first = plan_fleet(profile(), demand(uri_share=0.0, cached_share=0.25, digest_first=True))
    assert sent.bits_in_per_s == pytest.approx(200 * 5e6 * 8)
    assert asked_first.bits_in_per_s == pytest.approx(0.75 * sent.bits_in_per_s)


def test_a_latency_objective_takes_more_nodes() -> None:
    loose, tight = (plan_fleet(profile(), demand(target_utilisation=0.85, p99_ms=p99_ms)) for p99_ms in (2000, 400))
    assert loose.allowed_utilisation == 0.85
    assert tight.allowed_utilisation < 0.7
    assert tight.carrying_nodes > loose.carrying_nodes
    assert tight.p99_ms_without_spare is not None
    assert tight.p99_ms_without_spare <= 400


def test_latency_is_that_of_callers_who_come_independently_whatever_was_measured_of_others() -> None:
    # Two at once, 100 ms each: evenly spaced ones would never wait at 70 %.
    found = plan_fleet(profile(points=[point(0.7, 100, 100)]), demand(work_variation=0, spare_nodes=0))
    assert found.p50_ms_at_peak == pytest.approx(115, abs=15)
    assert found.p99_ms_at_peak == pytest.approx(400, abs=50)


def test_an_objective_that_an_idle_node_misses_has_no_fleet() -> None:
    with pytest.raises(CapacityError, match=r"p99_ms is 99, and an idle node takes 1.. ms"):
        plan_fleet(profile(), demand(p99_ms=99, work_variation=0.01))


def test_the_curve_is_straight_between_points_and_unknown_beyond() -> None:
    curve = LatencyCurve(((0.1, 100, 150), (0.5, 120, 250), (0.9, 200, 650)))
    assert curve.percentile_ms(0.5, 0.0) == 100
    assert curve.percentile_ms(0.99, 0.3) == pytest.approx(200)
    assert curve.percentile_ms(0.99, 0.9) == pytest.approx(650)
    assert curve.percentile_ms(0.99, 0.95) is None  # overload is not a point of it


def bench_results(**details: Any) -> dict[str, Any]:
    """What `make bench` writes, as far as it matters here."""
    loads = [{**point(load, 100, 200), "good_per_s": 20 * load} for load in (0.1, 0.5, 0.85, 3.0)]
    return {
        "machine": {"cores": 2},
        "uri_bytes_fraction": {"mp4_index_first": 0.06},
        "details": {
            "served_over_offline_uri": {
                "videos": {"count": 8, "bytes": 5.3e6},
                "cpu_ms_per_video": {"served": {"load generator": 1, "gateway": 4, "sampling workers": 6, "stubs": 90}},
            },
            "served_over_offline_content": {"served_per_s": {"median": 9.5}},
            "cached_over_first": {"ratios": {"by_digest": 0.007, "by_content": 0.05}},
            "latency_over_load": {
                "points": loads,
                "poisson_at_70pct": {**point(0.7, 110, 400, "poisson"), "good_per_s": 14},
                "peaks_per_s": {"median": 20.0},
                "unloaded_p50_ms": {"median": 104.0},
            },
            **details,
        },
    }


def test_a_profile_from_bench_results() -> None:
    found = profile_of_bench(bench_results())
    assert (found.peak_per_s.uri, found.peak_per_s.content, found.cores) == (20.0, 9.5, 2)
    assert (found.uri_bytes_fraction, found.video_bytes) == (0.06, 5.3e6)
    assert found.cached_over_first is not None
    assert found.cached_over_first.by_content == 0.05
    assert [load.arrivals for load in found.points].count("poisson") == 1
    assert (found.unloaded_ms, found.gateway_cpu_ms, found.triton_cpu_ms) == (104, 10, 90)


def test_a_profile_from_load_test_summaries(tmp_path: Path) -> None:
    phases = {"1 user": {"answered_per_s": 8, "p50_ms": 110}, "4 users": {"answered_per_s": 17, "p50_ms": 200}}
    held = {"asked_per_s": 10, "answered_per_s": 9.9, "p50_ms": 150, "p99_ms": 400}
    (tmp_path / "step_summary.json").write_text(json.dumps({"machine": {"cores": 2}, "phases": phases}))
    soak = {"arrivals": "poisson", "phases": {"held": held}}
    (tmp_path / "soak_summary.json").write_text(json.dumps(soak))
    found = read_profile(tmp_path)
    assert (found.peak_per_s.uri, found.peak_per_s.content, found.unloaded_ms) == (17, 17, 110)
    assert [(load.offered_per_s, load.p99_ms, load.arrivals) for load in found.points] == [(10, 400, "poisson")]
    (tmp_path / "step_summary.json").unlink()
    with pytest.raises(CapacityError, match=r"has no step_summary\.json; `make perf` writes it"):
        read_profile(tmp_path)


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ({"latency_over_load": None}, "details: latency_over_load was not measured"),
        ({"served_over_offline_uri": {}}, "details: served_over_offline_uri was not measured"),
        ({"latency_over_load": {"points": []}}, "KeyError: 'peaks_per_s'"),
        ({"cached_over_first": {"ratios": {"by_digest": 2, "by_content": 0}}}, r"by_digest: .*\(is 2\)"),
    ],
)
def test_results_that_lack_something_say_what(details: dict[str, Any], words: str) -> None:
    with pytest.raises(CapacityError, match=words):
        profile_of_bench(bench_results(**details))


def test_a_profile_may_be_written_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text("{cores: 4, peak_per_s: {uri: 50}, video_bytes: 5e+6}")
    assert read_profile(file).curve_peak_per_s == 50
    file.write_text("{cores: 4, peak_per_s: {}, video_bytes: 0}")
    with pytest.raises(CapacityError, match=r"node\.yaml: video_bytes: .*greater than 0 \(is 0\)"):
        read_profile(file)
    file.write_text("{cores: 4, peak_per_s: {}, video_bytes: 1}")
    with pytest.raises(CapacityError, match="peak_per_s has neither uri nor content"):
        read_profile(file)


def test_a_demand_is_its_file_with_options_over_it(tmp_path: Path) -> None:
    file = tmp_path / "demand.yaml"
    file.write_text("{videos_per_day: 1000, peak_factor: 3}")
    found = demand_of(file, {"videos_per_day": 5000.0, "uri_share": None})
    assert (found.videos_per_day, found.peak_factor, found.uri_share) == (5000, 3, 1.0)


def test_bad_demands_name_field_and_value(tmp_path: Path) -> None:
    with pytest.raises(CapacityError, match=r"^videos_per_day: Field required$"):
        demand_of(None, {})
    with pytest.raises(CapacityError, match=r"cached_share: .*less than or equal to 1 \(is 1\.5\)"):
        demand_of(None, {"videos_per_day": 1, "cached_share": 1.5})
    (tmp_path / "d.yaml").write_text("{videos_per_day: 1, target_utilisation: 1}")
    with pytest.raises(CapacityError, match=r"d\.yaml: target_utilisation: .*less than 1 \(is 1\)"):
        demand_of(tmp_path / "d.yaml", {})
