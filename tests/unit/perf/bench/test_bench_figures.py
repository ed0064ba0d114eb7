"""What the phases make of what they measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from wildgate_perf.bench.offered_load import goodput_over_peak, point_as_json, tail_over_unloaded
from wildgate_perf.bench.phase import Observed, PhaseFailed, all_answered, cpu_ms, rounds_as_json
from wildgate_perf.cpu_time import CpuTimes
from wildgate_perf.loops import Measured, Outcome
from wildgate_perf.results import TARGETS, read, write


def measured(*outcomes: Outcome, seconds: float = 1, cpu_s: float = 0) -> Measured:
    return Measured(outcomes, outcomes, 0, seconds, cpu_s, wall_s=seconds)


def served_round(took_s: float, infer_ms: float, cpu_s: dict[str, float]) -> Observed:
    answers = [Outcome(0, 0, took_s, stages_ms={"infer": infer_ms})] * 5
    return Observed(measured(*answers, cpu_s=0.025), CpuTimes(cpu_s), {"others": 0.5})


def test_rounds_are_told_way_by_way_and_processor_time_is_shared_among_all_answers() -> None:
    served = [
        served_round(0.1, 80, {"gateway": 0.2, "triton guard": 0.0}),
        served_round(0.3, 90, {"gateway": 0.4, "tritonserver": 0.1}),
    ]
    assert cpu_ms(served) == {"load generator": 5.0, "gateway": 60.0, "tritonserver": 10.0}
    told = rounds_as_json({"served": served, "offline": served[:1]})
    assert told["served_per_s"]["rounds"] == [5, 5]
    assert told["latency_ms"] == {"served": {"p50": 100, "p99": 300}, "offline": {"p50": 100, "p99": 100}}
    assert told["stages_ms"]["served"]["p99"] == {"infer": 90}
    assert told["cpu_ms_per_video"]["offline"] == {"load generator": 5, "gateway": 40}
    assert told["load_generator_core_share"]["served"] == 0.025
    assert told["other_load_cores"]["offline"] == [{"others": 0.5}]


def test_goodput_is_held_against_the_peaks_around_it() -> None:
    overload = [{"good_per_s": 11}, {"good_per_s": 5}]
    assert goodput_over_peak(overload, [10, 12, 8]).rounds == (1.0, 0.5)
    steady = [{"p99_or_failed_ms": 250}, {"p99_or_failed_ms": 300}]
    assert tail_over_unloaded(steady, [100, 200]).rounds == (2.5, 1.5)


def test_refusals_below_the_peak_miss_the_target_of_the_tail(tmp_path: Path) -> None:
    refusing = [Outcome(n, n, n + 0.1, "RESOURCE_EXHAUSTED" if n % 10 == 0 else "") for n in range(50)]
    point = point_as_json(measured(*refusing, seconds=50))
    assert point["p99_ms"] == pytest.approx(100)
    tail = tail_over_unloaded([point], [50.0])
    target = next(target for target in TARGETS if target.key == "p99_at_70pct_over_unloaded_p50")
    assert target.met_by(tail.median) is False
    write(tmp_path / "x.json", {"figure": tail.median, "details": tail.as_json()})
    assert read(tmp_path / "x.json")["figure"] is None


def test_a_failed_request_fails_the_phase_by_name() -> None:
    answer = Outcome(0, 0, 0.5)
    assert all_answered(measured(answer)).answers == [answer]
    with pytest.raises(PhaseFailed, match="2 requests failed, the first with A: no"):
        all_answered(measured(answer, Outcome(0, 0, 1, "A: no"), Outcome(0, 0, 1, "B")))
    with pytest.raises(PhaseFailed, match="no answer came within 3 s"):
        all_answered(measured(seconds=3))
