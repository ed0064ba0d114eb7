"""What the phases make of what they measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from wildgate_perf.bench.against_offline import _Rounds as OfflineRounds
from wildgate_perf.bench.bytes_read import _with_served
from wildgate_perf.bench.offered_load import _json, _Rounds
from wildgate_perf.bench.phase import Bystanders, Observed, PhaseFailed, all_answered
from wildgate_perf.cpu_time import CpuTimes
from wildgate_perf.load_generator import Loaded
from wildgate_perf.loops import Answered, Measured, Offered, Outcome
from wildgate_perf.offline import OfflineRound
from wildgate_perf.range_server import RangeServer
from wildgate_perf.results import TARGETS, read, write


def served(took_ms: float, infer_ms: float, cpu_s: dict[str, float]) -> Observed[Measured]:
    measured = Measured((Answered(took_ms, {"infer": infer_ms}),), (), 1, shares=1.0)
    return Observed(Loaded(measured, 5, 0.025, 1.0), CpuTimes(cpu_s), {})


def test_processor_time_is_shared_among_all_answers() -> None:
    rounds = OfflineRounds(
        offline=[OfflineRound(2, 2.0, 0.1, {}), OfflineRound(2, 4.0, 0.1, {})],
        served=[
            served(100, 80, {"gateway": 0.2, "triton guard": 0.0}),
            served(300, 90, {"gateway": 0.4, "tritonserver": 0.1}),
        ],
    )
    assert rounds.served_cpu_ms() == {"load generator": 5.0, "gateway": 60.0, "tritonserver": 10.0}
    assert rounds.answers.stages_ms(1.0) == {"infer": 90}
    assert rounds.answers.took_ms(0.5) == 100
    assert rounds.ratio.rounds == (0.5, 0.25)


def test_goodput_is_held_against_the_peaks_around_it() -> None:
    rounds = _Rounds(
        peaks=[10, 12, 8],
        unloaded=[100, 200],
        steady=[{"p99_or_failed_ms": 250}, {"p99_or_failed_ms": 300}],
        overload=[{"good_per_s": 11}, {"good_per_s": 5}],
    )
    assert rounds.goodput().rounds == (1.0, 0.5)
    assert rounds.tail().rounds == (2.5, 1.5)


def test_refusals_below_the_peak_miss_the_target_of_the_tail(tmp_path: Path) -> None:
    refusing = tuple(Outcome(n, n, n + 0.1, "RESOURCE_EXHAUSTED" if n % 10 == 0 else "") for n in range(50))
    point = _json(Loaded(Offered(1, 0, 50, refusing), 45, 0.1, 50))
    assert point["p99_ms"] == pytest.approx(100)
    tail = _Rounds(unloaded=[50.0], steady=[point]).tail()
    target = next(target for target in TARGETS if target.key == "p99_at_70pct_over_unloaded_p50")
    assert target.met_by(tail.median) is False
    write(tmp_path / "x.json", {"figure": tail.median, "details": tail.as_json()})
    assert read(tmp_path / "x.json")["figure"] is None


def test_the_larger_count_of_bytes_counts() -> None:
    told = {"fraction": 0.1, "read_bytes": 10, "file_bytes": 100}
    more = {"fraction": 0.25, "served_bytes": 25, "served_requests": 3}
    assert _with_served(told, RangeServer("", 3, 25)) == told | more
    assert _with_served(told, RangeServer("", 3, 5))["fraction"] == 0.1


def test_a_verdict_after_the_deadline_is_not_good() -> None:
    outcomes = (Outcome(0, 0.01, 1), Outcome(0.5, 0.5, 10.6), Outcome(1, 1, 1.1, "RESOURCE_EXHAUSTED"))
    found = _json(Loaded(Offered(1.5, 0, 20, outcomes), 2, 0.4, 20))
    assert found["good_per_s"] == 1 / 20
    assert found["failures"] == {"RESOURCE_EXHAUSTED": 1}
    assert found["asked"] == 3
    assert found["sent_late_p99_ms"] == 10
    assert found["load_generator_core_share"] == 0.02


def test_a_failed_question_fails_the_phase_by_name() -> None:
    answers = (Answered(1, {}),)
    assert all_answered(Loaded(Measured(answers, (), 1), 1, 0, 1)).answers == answers
    with pytest.raises(PhaseFailed, match="2 questions failed, the first with A: no"):
        all_answered(Loaded(Measured(answers, ("A: no", "B"), 1), 1, 0, 1))
    with pytest.raises(PhaseFailed, match="no answer came within 3 s"):
        all_answered(Loaded(Measured((), (), 3), 0, 0, 1))


def test_what_is_ours_is_not_counted_as_the_others() -> None:
    seconds = iter((0.0, 10.0))
    cores = Bystanders(lambda: next(seconds)).cores(ours_s=1e9)
    assert cores["others"] == 0
    assert cores["steal"] >= 0
