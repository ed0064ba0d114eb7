"""What comes of the contest: ratios, and a line for everybody."""

from __future__ import annotations

import pytest

from wildgate_perf.bench.peers.phase import Contest, ratios
from wildgate_perf.bench.phase import Observed
from wildgate_perf.cpu_time import CpuTimes
from wildgate_perf.loops import Measured, Outcome

FOUGHT = ("slow", "fast")


def rounds(*speeds: int) -> list[Observed]:
    """Rounds of 1 s; every video takes 100 / speed milliseconds of processor."""
    found = []
    for speed in speeds:
        outcomes = (Outcome(0, 0, 0.02),) * speed
        found.append(Observed(Measured(outcomes, outcomes, 0, 1, 0.1, 1), CpuTimes({"peer": 0.1}), {}))
    return found


@pytest.fixture
def contest() -> Contest:
    found = {
        "wildgate": rounds(20, 30, 44),
        "wildgate_uri": rounds(40, 60, 88),
        "slow": rounds(5, 6, 7),
        "fast": rounds(10, 20, 22),
        "common_script": rounds(1, 2, 4),
    }
    return Contest(found, dict.fromkeys(found, 0.01))


def test_ratios_are_medians_of_rounds(contest: Contest) -> None:
    assert ratios(contest.rounds, FOUGHT) == {
        "best_peer": "fast",
        "over_best_peer": 2.0,  # 20/10, 30/20, 44/22
        "over_common_script": 15.0,  # 20/1, 30/2, 44/4
        "uri_over_best_peer": 4.0,
        "uri_over_common_script": 30.0,
        "processor_time_of_best_peer_over_wildgate": 2.0,
    }
