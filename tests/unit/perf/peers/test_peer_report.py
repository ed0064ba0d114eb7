import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from wildgate_perf.peers.contest import Contest, Entry, Round
from wildgate_perf.peers.report import best_peer, contest_picture, contest_table, figures, notes, results, unmeasured


def entry(title: str, *speeds: float, **changes: str) -> Entry:
    made = Entry(title, 0.1, rounds=[Round(speed, 10.0, 20.0, 100 / speed, 1.0, 0.25, 0.01) for speed in speeds])
    for name, value in changes.items():
        setattr(made, name, value)
    return made


PEERS = {"slow": "Slow", "fast": "Fast"}


@pytest.fixture
def contest() -> Contest:
    return Contest(
        {
            "wildgate": entry("wildgate", 20, 30, 44),
            "wildgate_uri": entry("wildgate, by file: URI", 40, 60, 88),
            "slow": entry("Slow", 5, 6, 7),
            "fast": entry("Fast", 10, 20, 22),
            "broken": entry("Broken", 90, 91, failed="a score is 0.5 off in /home/me/x\nmore of it"),
            "missing": entry("Missing", absent="missing is not installed"),
            "common_script": entry("common script", 1, 2, 4),
        }
    )


def test_the_best_peer_is_one_that_gave_right_answers(contest: Contest) -> None:
    assert best_peer(contest) == "fast"


def test_ratios_are_medians_of_rounds(contest: Contest) -> None:
    # 20/10, 30/20, 44/22 and 20/1, 30/2, 44/4
    assert figures(contest, PEERS) == {"over_best_peer": 2.0, "over_common_script": 15.0}


@pytest.mark.parametrize("name", ["broken", "missing", "stranger"])
def test_the_best_of_some_peers_is_not_the_best_peer(contest: Contest, name: str) -> None:
    """A peer that failed, was absent, or took no part at all."""
    peers = {**PEERS, name: name.title()}
    assert figures(contest, peers) == {"over_best_peer": None, "over_common_script": None}
    assert results(contest, {}, {}, "2026-01-02", peers)["best_peer"] is None
    assert name.title() in unmeasured(contest, peers)
    [note] = [note for note in notes(contest, peers) if "latest.json" in note]
    assert name.title() in note


def test_where_everybody_was_measured_no_note_says_otherwise(contest: Contest) -> None:
    del contest.entries["broken"], contest.entries["missing"]
    assert unmeasured(contest, PEERS) == []
    assert not any("latest.json" in note for note in notes(contest, PEERS))


def test_what_was_not_measured_gives_no_ratio(contest: Contest) -> None:
    contest.entries["common_script"].failed = "it ended"
    del contest.entries["fast"], contest.entries["slow"]
    assert figures(contest, {}) == {"over_best_peer": None, "over_common_script": None}
    assert best_peer(contest) is None


def test_results_hold_everything_that_the_figures_rest_on(contest: Contest) -> None:
    told = json.loads(json.dumps(results(contest, {"cores": 2}, {"seconds": 7.0}, "2026-01-02", PEERS)))
    assert told["over_best_peer"] == 2.0
    assert told["best_peer"] == "fast"
    assert told["processor_time_of_best_peer_over_wildgate"] == 2.0
    assert told["uri_over_best_peer"] == 4.0
    assert told["contenders"]["fast"]["videos_per_s"]["median"] == 20
    assert [each["videos_per_s"] for each in told["contenders"]["fast"]["rounds"]] == [10, 20, 22]
    assert told["contenders"]["missing"]["absent"] == "missing is not installed"
    assert told["contenders"]["broken"]["failed"] == "PeerFailed: a score is 0.5 off in <path>"
    assert told["measured"] == "2026-01-02"
    assert "/home" not in json.dumps(told)
    assert told["machine"] == {"cores": 2}


def test_the_table_has_the_fastest_first_and_the_unmeasured_last(contest: Contest) -> None:
    console = Console(file=io.StringIO(), width=120)
    with console.capture() as printed:
        console.print(contest_table(contest))
    titles = [entry.title for entry in contest.entries.values()]
    ordered = [
        max((title for title in titles if line.strip().startswith(title)), key=len)
        for line in printed.get().splitlines()[2:]
        if line.strip().startswith(tuple(titles))
    ]
    assert ordered[:5] == ["wildgate, by file: URI", "wildgate", "Fast", "Slow", "common script"]
    assert set(ordered[5:]) == {"Broken", "Missing"}


def test_notes_say_who_was_not_measured_and_why(contest: Contest) -> None:
    text = "\n".join(notes(contest))
    assert "Missing was absent: missing is not installed" in text
    assert "Broken failed: a score is 0.5 off" in text
    assert "more of it" not in text
    assert "up to 0.2 cores busy" in text


def test_the_picture_names_everybody_measured(contest: Contest, tmp_path: Path) -> None:
    contest_picture(contest, tmp_path)
    assert (tmp_path / "peers.png").stat().st_size > 5000
    drawn = (tmp_path / "peers.svg").read_text(encoding="utf-8")
    assert "Fast" in drawn
    assert "wildgate, by file: URI" in drawn
    assert "Broken" not in drawn
