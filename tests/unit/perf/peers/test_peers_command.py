from pathlib import Path

import pytest

from wildgate_perf.peers import __main__ as command
from wildgate_perf.peers.contenders import PEERS
from wildgate_perf.peers.contest import Contest, Entry, Round
from wildgate_perf.peers.report import COMMON_SCRIPT, WILDGATE
from wildgate_perf.results import TARGETS, read, write

FACTS = {"cpu": "Example 3000", "cores": 2}
ROUND = Round(10.0, None, None, 100.0, 1.0, 0.0, 0.0)


def test_nobody_that_there_is_not_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--only", "nobody"]) == 2
    assert "no such contender: nobody" in capsys.readouterr().err


def test_everybody_has_a_key_of_their_own() -> None:
    names = [each.name for each in command.contenders(2)]
    assert len(set(names)) == len(names)
    assert {WILDGATE, COMMON_SCRIPT, *(peer.name for peer in PEERS)} < set(names)


def test_peers_get_as_many_workers_as_cores() -> None:
    assert {peer.name: peer.tuning(6).workers for peer in PEERS} == {peer.name: 6 for peer in PEERS}


def told(**changes: object) -> dict[str, object]:
    return {"over_best_peer": 2.0, "over_common_script": 20.0, "measured": "2026-01-02", "machine": FACTS, **changes}


def contest_of(**changes: str) -> Contest:
    made = {each.name: Entry(each.title, 0.1, rounds=[ROUND]) for each in command.contenders(1)}
    for name, value in changes.items():
        setattr(made[PEERS[0].name], name, value)
    return Contest(made)


def test_latest_is_told_where_everybody_was_measured(tmp_path: Path) -> None:
    latest = tmp_path / "latest.json"
    write(latest, {"machine": FACTS, "goodput_at_3x_over_peak": 0.9})
    assert command.tell_latest(latest, contest_of(), told())
    content = read(latest)
    assert (content["over_best_peer"], content["goodput_at_3x_over_peak"]) == (2.0, 0.9)
    assert content["measured_at"]["over_best_peer"] == "2026-01-02"
    assert content["targets"]["over_best_peer"]["met"] is True


def test_latest_is_left_alone_otherwise(tmp_path: Path) -> None:
    latest = tmp_path / "latest.json"
    assert not command.tell_latest(latest, contest_of(), told())
    assert not latest.exists()
    write(latest, {"machine": FACTS})
    assert not command.tell_latest(latest, contest_of(absent="not installed"), told())
    assert not command.tell_latest(latest, contest_of(failed="it broke"), told())
    assert not command.tell_latest(latest, contest_of(), told(machine={**FACTS, "cores": 99}))
    assert read(latest) == {"machine": FACTS}


def test_the_two_figures_have_targets() -> None:
    assert {target.key: target.at_least for target in TARGETS if target.key.startswith("over_")} == {
        "over_best_peer": 1.25,
        "over_common_script": 10,
    }
