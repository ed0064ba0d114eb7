"""What is taken over from earlier results."""

from __future__ import annotations

import math
from typing import Any

from wildgate_perf.bench.known import PHASE_KEYS, Known, known_before, known_of_peers

MACHINE = {"cpu": "Example 3000", "cores": 2, "python": "3.11.9", "version_numpy": "2.0"}


def latest(**changes: Any) -> dict[str, Any]:
    return {
        "measured": "2026-02-01",
        "measured_at": {"cached_over_first": "2026-01-01"},
        "cached_over_first": 0.01,
        "gateway_over_direct": 0.9,
        "machine": {**MACHINE, "load_1min": 3.0},
        "details": {"cached_over_first": {"x": 1}, "failed": {"a": "b"}, "plan": {}, "phase_s": {"videos": 1}},
        **changes,
    }


def test_each_figure_keeps_its_own_date() -> None:
    known = known_before(latest(), MACHINE, ["latency_over_load"])
    assert known.figures == {"cached_over_first": 0.01, "gateway_over_direct": 0.9}
    assert known.measured == {"cached_over_first": "2026-01-01", "gateway_over_direct": "2026-02-01"}
    assert known.details == {"cached_over_first": {"x": 1}, "phase_s": {"videos": 1}}


def test_what_is_measured_again_is_forgotten() -> None:
    known = known_before(latest(), MACHINE, ["cached_over_first"])
    assert set(known.figures) == {"gateway_over_direct"}
    assert "cached_over_first" not in known.details
    assert known_before(latest(), MACHINE, list(PHASE_KEYS)).figures == {}


def test_nothing_comes_from_another_machine() -> None:
    for changed in ({"cores": 4}, {"cpu": "Another"}, {"version_numpy": "2.1"}, {"version_av": "1"}):
        assert known_before(latest(), MACHINE | changed, []) == Known()
        assert known_of_peers({"machine": MACHINE, "over_best_peer": 2.0}, MACHINE | changed) == Known()
    assert known_before({}, MACHINE, []) == Known()


def test_an_infinite_figure_stays_missed() -> None:
    key = "p99_at_70pct_over_unloaded_p50"
    known = known_before(latest(**{key: None, "targets": {key: {"figure": None, "met": False}}}), MACHINE, [])
    assert known.figures[key] == math.inf
    assert key not in known_before(latest(**{key: None}), MACHINE, []).figures


def test_peers_come_with_their_date() -> None:
    peers = {"machine": MACHINE, "measured": "2026-01-03", "over_best_peer": 2.0, "over_common_script": None}
    assert known_of_peers(peers, MACHINE) == Known({"over_best_peer": 2.0}, {}, {"over_best_peer": "2026-01-03"})
