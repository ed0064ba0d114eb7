"""What the benchmark does with what its phases find; the phases here only pretend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wildgate_perf.bench.__main__ import PHASES, main, results_before
from wildgate_perf.bench.phase import Findings, PhaseFailed
from wildgate_perf.machine_facts import machine_facts
from wildgate_perf.results import TARGETS

FOUND = {
    "videos": Findings(),
    "uri_over_offline": Findings(
        {"served_over_offline_uri": 0.95},
        {"served_over_offline_uri": {"other_load_cores": {"served": [{"others": 0.7}]}}},
    ),
    "content_over_offline": Findings({"served_over_offline_content": 0.7}),
    "uri_bytes_fraction": Findings({"uri_bytes_fraction": {"mp4_index_first": 0.05, "ts": 0.2}}),
    "cached_over_first": Findings({"cached_over_first": 0.01}, {"cached_over_first": {"x": 0}}),
    "latency_over_load": Findings({"p99_at_70pct_over_unloaded_p50": float("inf"), "goodput_at_3x_over_peak": 0.97}),
    "peers": Findings({"over_best_peer": 1.5}),
}


class Ran:
    """Runs the command in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, []

    def __call__(self, *arguments: str, **changes: Findings | Exception) -> int:
        def phase(name: str) -> Findings:
            self.asked.append(name)
            found = (FOUND | changes)[name]
            if isinstance(found, Exception):
                raise found
            return found

        def pretending(name: str) -> Any:
            return lambda bench: phase(name)

        self.asked = []
        phases = {name: (pretending(name), PHASES[name][1]) for name in FOUND}
        return main(["--results", str(self.folder), "--folder", str(self.folder / "work"), *arguments], phases)

    @property
    def latest(self) -> dict[str, Any]:
        return json.loads((self.folder / "latest.json").read_text())


@pytest.fixture
def ran(tmp_path: Path) -> Ran:
    return Ran(tmp_path)


def test_every_key_is_there_with_its_target(ran: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    point = {"offered_per_s": 5, "good_per_s": 5, "p50_ms": 100.0, "p99_ms": None}
    load = {"points": [point], "peaks_per_s": {"median": 10}, "deadline_s": 10.0}
    figures = FOUND["latency_over_load"].figures
    assert ran(latency_over_load=Findings(figures, {"latency_over_load": load})) == 0
    latest = ran.latest
    for target in TARGETS:
        assert target.key.partition(".")[0] in latest
        assert latest["targets"][target.key]["target"] == str(target)
    assert latest["uri_bytes_fraction"] == {"mp4_index_first": 0.05, "ts": 0.2}
    assert latest["targets"]["served_over_offline_uri"] == {"figure": 0.95, "target": "at least 0.92", "met": True}
    assert latest["targets"]["served_over_offline_content"]["met"] is False
    assert latest["targets"]["p99_at_70pct_over_unloaded_p50"] == {"figure": None, "target": "at most 3", "met": False}
    assert latest["targets"]["over_best_peer"]["met"] is None  # peers are measured only when asked for
    assert latest["machine"]["cores"] >= 1
    assert "Other processes kept 0.7 cores busy" in capsys.readouterr().out
    assert "<svg" in (ran.folder / "latency_over_load.svg").read_text()


def test_one_phase_again_keeps_what_the_others_found(ran: Ran) -> None:
    assert ran() == 0
    assert ran("--only", "peers") == 0
    assert ran.asked == ["videos", "peers"]
    again = Findings({"cached_over_first": 0.5}, {"cached_over_first": {"x": 1}})
    assert ran("--only", "cached_over_first", cached_over_first=again) == 0
    latest = ran.latest
    assert (latest["cached_over_first"], latest["details"]["cached_over_first"]) == (0.5, {"x": 1})
    assert (latest["served_over_offline_uri"], latest["over_best_peer"]) == (0.95, 1.5)
    assert latest["targets"]["over_best_peer"]["met"] is True
    assert ran() == 0
    assert ran.latest["over_best_peer"] == 1.5  # a full run does not measure peers, so theirs stay


def test_a_phase_that_fails_has_no_figure_and_spoils_no_other(ran: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    ran()
    assert ran("--only", "cached_over_first", cached_over_first=PhaseFailed("no answer\nlog: /home/me/x")) == 1
    latest = ran.latest
    assert latest["cached_over_first"] is None
    assert latest["served_over_offline_uri"] == 0.95
    assert latest["details"]["failed"] == {"cached_over_first": "PhaseFailed"}
    assert "log: /home/me/x" in capsys.readouterr().out


def test_a_surprise_leaves_what_was_found_before_it(ran: Ran) -> None:
    with pytest.raises(RuntimeError, match="surprise"):
        ran(latency_over_load=RuntimeError("surprise"))
    assert ran.latest["cached_over_first"] == 0.01


def test_missed_targets_count_where_asked(ran: Ran) -> None:
    assert ran("--strict") == 1
    good = {"p99_at_70pct_over_unloaded_p50": 1.0, "goodput_at_3x_over_peak": 1.0}
    content = Findings({"served_over_offline_content": 0.9})
    assert ran("--strict", content_over_offline=content, latency_over_load=Findings(good)) == 0


def test_every_target_has_a_phase_that_measures_it() -> None:
    keys = [key for _, figures in PHASES.values() for key in figures]
    assert {target.key.partition(".")[0] for target in TARGETS} == set(keys)
    assert len(set(keys)) == len(keys)


MACHINE = {"cpu": "Example 3000", "cores": 2, "python": "3.11.9", "version_numpy": "2.0"}
LATEST = {
    "measured": "2026-02-01",
    "measured_at": {"cached_over_first": "2026-01-01"},
    "cached_over_first": 0.01,
    "gateway_over_direct": 0.9,
    "machine": {**MACHINE, "load_1min": 3.0},
    "details": {"cached_over_first": {"x": 1}, "failed": {"a": "b"}, "plan": {}},
}


def test_each_figure_keeps_its_own_date() -> None:
    found = results_before(LATEST, MACHINE, PHASES)
    assert (found["cached_over_first"], found["gateway_over_direct"]) == (0.01, 0.9)
    assert found["measured_at"] == {"cached_over_first": "2026-01-01", "gateway_over_direct": "2026-02-01"}
    assert found["details"] == {"cached_over_first": {"x": 1}}


@pytest.mark.parametrize(
    "changed", [{"cores": 4}, {"cpu": "Another"}, {"version_numpy": "2.1"}, {"version_av": "1"}], ids=str
)
def test_nothing_comes_from_another_machine(changed: dict[str, Any]) -> None:
    assert results_before(LATEST, MACHINE | changed, PHASES)["measured_at"] == {}
    assert results_before({}, machine_facts(), PHASES)["details"] == {}
