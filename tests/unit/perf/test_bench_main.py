"""What the benchmark does with what its phases find; the phases here only pretend."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from wildgate_perf.bench import __main__ as command
from wildgate_perf.bench.known import PEER_KEYS, PHASE_KEYS
from wildgate_perf.bench.phase import Bench, Findings, PhaseFailed
from wildgate_perf.bench.report import draw_pictures
from wildgate_perf.machine_facts import machine_facts
from wildgate_perf.results import TARGETS


def spread(*rounds: float) -> dict[str, Any]:
    return {"median": sorted(rounds)[len(rounds) // 2], "p10_p90": [min(rounds), max(rounds)], "rounds": rounds}


def against_offline(others: float) -> dict[str, Any]:
    stages = {"read": 1.0, "sample": 5.0, "evidence": 0.0, "total": 100.0}
    return {
        "ratio": spread(0.9, 0.95),
        "served_per_s": spread(9, 9.5),
        "offline_per_s": spread(10, 10),
        "stages_ms": {"p50": stages, "p99": stages},
        "cpu_ms_per_video": {
            "served": {"load generator": 1.0, "gateway": 9.0, "triton guard": 0.5, "detector stubs": 80.0},
            "offline": {"sampling": 10.0, "detecting": 80.0, "rest": 2.0},
        },
        "other_load_cores": {"offline": [{"others": others}], "served": [{"others": others}]},
    }


def point(of_peak: float, good: float) -> dict[str, Any]:
    return {"of_peak": of_peak, "offered_per_s": of_peak * 10, "good_per_s": good, "p50_ms": 100.0, "p99_ms": 200.0}


def pretended(others: float = 0.0) -> dict[str, Findings]:
    reading = {
        f"{way}{unit}": spread(1.0, 2.0) for way in ("gateway", "direct") for unit in ("_per_s", "_alone_p50_ms")
    }
    way = {"fraction": 0.05, "read_requests": 3}
    return {
        "uri_over_offline": Findings(
            {"served_over_offline_uri": 0.95}, {"served_over_offline_uri": against_offline(others)}
        ),
        "content_over_offline": Findings(
            {"served_over_offline_content": 0.7}, {"served_over_offline_content": against_offline(others)}
        ),
        "gateway_over_direct": Findings(
            {"gateway_over_direct": 0.9, "gateway_added_p50_ms": 1.5},
            {"gateway_over_direct": {"sampled": reading, "whole": reading, "cut": reading}},
        ),
        "uri_bytes_fraction": Findings(
            {"uri_bytes_fraction": {"mp4_index_first": 0.05, "ts": 0.2}},
            {"uri_bytes_fraction": {"ts": {"file": way, "http": way}, "settings": {}}},
        ),
        "cached_over_first": Findings({"cached_over_first": 0.01}, {"cached_over_first": {}}),
        "sampling_over_decoding": Findings(details={"sampling_over_decoding": {}}),
        "latency_over_load": Findings(
            {"p99_at_70pct_over_unloaded_p50": 2.0, "goodput_at_3x_over_peak": 0.97},
            {
                "latency_over_load": {
                    "points": [point(0.5, 5), point(1, 9), point(3, 9.5) | {"p50_ms": None}],
                    "peaks_per_s": spread(10, 10, 10),
                    "deadline_s": 10.0,
                }
            },
        ),
    }


class Ran:
    """Runs the command in a folder of its own, with phases that find what they are told, and without pictures."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.asked = folder, []
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(command, "_PEERS", folder / "peers.json")
        monkeypatch.setattr(command, "_videos", lambda bench: Findings())
        monkeypatch.setattr(command, "draw_pictures", lambda details, folder: [])

    def __call__(self, findings: dict[str, Findings | Exception], *arguments: str) -> int:
        def phase(name: str, found: Findings | Exception):
            def run(bench: Bench) -> Findings:
                self.asked.append(name)
                if isinstance(found, Exception):
                    raise found
                return found

            return run

        phases = {name: phase(name, found) for name, found in findings.items()}
        self._monkeypatch.setattr(command, "PHASES", phases)
        return command.main(["--results", str(self.folder), "--folder", str(self.folder / "work"), *arguments])

    @property
    def latest(self) -> dict[str, Any]:
        return json.loads((self.folder / "latest.json").read_text())


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ran]:
    yield Ran(tmp_path, monkeypatch)
    structlog.reset_defaults()  # the command logs warnings only; what runs after it in this process logs all


def test_every_key_is_there_with_its_target_and_pictures(
    ran: Ran, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "draw_pictures", draw_pictures)
    assert ran(pretended()) == 0
    latest = ran.latest
    for target in TARGETS:
        assert target.key.partition(".")[0] in latest
        assert latest["targets"][target.key]["target"] == str(target)
    assert latest["uri_bytes_fraction"] == {"mp4_index_first": 0.05, "ts": 0.2}
    assert latest["over_best_peer"] is None
    assert latest["targets"]["served_over_offline_uri"] == {"figure": 0.95, "target": "at least 0.92", "met": True}
    assert latest["targets"]["served_over_offline_content"]["met"] is False
    assert latest["targets"]["over_best_peer"]["met"] is None
    assert latest["machine"]["cores"] >= 1
    said = capsys.readouterr().out
    assert "missed" in said
    assert "Other processes" not in said
    names = {
        "served_over_offline",
        "processor_time",
        "stage_times",
        "latency_over_load",
        "uri_bytes_fraction",
        "gateway_over_direct",
    }
    assert {file.name for file in ran.folder.glob("*.*")} == {"latest.json"} | {
        f"{name}.{ending}" for name in names for ending in ("png", "svg")
    }


def test_figures_of_peers_are_taken_over(ran: Ran) -> None:
    peers = {"over_best_peer": 1.5, "over_common_script": None, "measured": "2026-01-02", "machine": machine_facts()}
    (ran.folder / "peers.json").write_text(json.dumps(peers))
    assert ran(pretended()) == 0
    assert ran.latest["over_best_peer"] == 1.5
    assert ran.latest["measured_at"]["over_best_peer"] == "2026-01-02"
    assert ran.latest["targets"]["over_best_peer"]["met"] is True
    assert ran.latest["over_common_script"] is None


def test_one_phase_again_keeps_what_the_others_found(ran: Ran) -> None:
    ran(pretended())
    ran.asked.clear()
    again = pretended() | {"cached_over_first": Findings({"cached_over_first": 0.5}, {"cached_over_first": {"x": 1}})}
    assert ran(again, "--only", "cached_over_first") == 0
    assert ran.asked == ["cached_over_first"]
    assert ran.latest["cached_over_first"] == 0.5
    assert ran.latest["served_over_offline_uri"] == 0.95
    assert "latency_over_load" in ran.latest["details"]


def test_a_whole_run_forgets_what_was_found_before(ran: Ran) -> None:
    ran(pretended())
    failing = pretended() | {"cached_over_first": PhaseFailed("the cache is cold in /home/me/x\nand so on")}
    assert ran(failing) == 1
    assert ran.asked[-2:] == ["sampling_over_decoding", "latency_over_load"]  # the others are run all the same
    assert ran.latest["cached_over_first"] is None
    assert ran.latest["details"]["failed"] == {"cached_over_first": "PhaseFailed: the cache is cold in <path>"}


def test_a_phase_that_fails_again_loses_what_it_found_before(ran: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    ran(pretended())
    failing = {"latency_over_load": PhaseFailed("the server is away\nits log: none")}
    assert ran(pretended() | failing, "--only", "latency_over_load") == 1
    assert ran.latest["goodput_at_3x_over_peak"] is None
    assert "latency_over_load" not in ran.latest["details"]
    assert ran.latest["gateway_over_direct"] == 0.9
    assert "its log: none" in capsys.readouterr().out  # the console has it all


def test_what_another_machine_found_is_not_kept(ran: Ran) -> None:
    ran(pretended())
    latest = ran.latest
    latest["machine"]["cpu"] = "Another"
    (ran.folder / "latest.json").write_text(json.dumps(latest))
    ran(pretended(), "--only", "cached_over_first")
    assert ran.latest["cached_over_first"] == 0.01
    assert ran.latest["gateway_over_direct"] is None


def test_a_surprise_leaves_what_was_found_before_it(ran: Ran) -> None:
    with pytest.raises(RuntimeError, match="surprise"):
        ran(pretended() | {"latency_over_load": RuntimeError("surprise")})  # type: ignore[arg-type]
    assert ran.latest["cached_over_first"] == 0.01


def test_missed_targets_count_where_asked(ran: Ran) -> None:
    assert ran(pretended()) == 0  # served_over_offline_content is missed
    assert ran(pretended(), "--strict") == 1
    met = Findings({"served_over_offline_content": 0.9})
    assert ran(pretended() | {"content_over_offline": met}, "--strict") == 0


def test_every_phase_and_its_keys_are_known() -> None:
    assert set(PHASE_KEYS) == set(command.PHASES)
    for name, findings in pretended().items():
        assert {*findings.figures, *findings.details} <= set(PHASE_KEYS[name])
    top = {target.key.partition(".")[0] for target in TARGETS}
    assert top <= {*PEER_KEYS, *(key for keys in PHASE_KEYS.values() for key in keys)}


def test_a_busy_machine_is_told_of(ran: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    ran(pretended(others=0.7))
    assert "Other processes kept 0.7 cores busy" in capsys.readouterr().out


def test_a_phase_that_there_is_not_is_refused(ran: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        ran(pretended(), "--only", "everything")
    assert ended.value.code == 2
    assert "cached_over_first" in capsys.readouterr().err
