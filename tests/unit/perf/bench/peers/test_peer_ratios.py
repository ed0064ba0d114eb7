"""What comes of the contest: ratios, and a line for everybody."""

from __future__ import annotations

import pytest

from wildgate_perf.bench.peers.contenders import PEERS
from wildgate_perf.bench.peers.contest import Entry, Round
from wildgate_perf.bench.peers.phase import ratios, summary

FOUGHT = ("slow", "fast")


def entry(title: str, *speeds: float, **changes: str) -> Entry:
    rounds = [Round(speed, 10.0, 20.0, 100 / speed, 1.0, 0.25, 0.01) for speed in speeds]
    return Entry(title, 0.1, {}, rounds, **changes)


@pytest.fixture
def entries() -> dict[str, Entry]:
    return {
        "wildgate": entry("wildgate", 20, 30, 44),
        "wildgate_uri": entry("wildgate, by file: URI", 40, 60, 88),
        "slow": entry("Slow", 5, 6, 7),
        "fast": entry("Fast", 10, 20, 22),
        "broken": entry("Broken", 90, 91, failed="a score is 0.5 off"),
        "missing": entry("Missing", absent="missing is not installed"),
        "common_script": entry("common script", 1, 2, 4),
    }


def test_ratios_are_medians_of_rounds(entries: dict[str, Entry]) -> None:
    assert ratios(entries, FOUGHT) == {
        "best_peer": "fast",
        "over_best_peer": 2.0,  # 20/10, 30/20, 44/22
        "over_common_script": 15.0,  # 20/1, 30/2, 44/4
        "uri_over_best_peer": 4.0,
        "uri_over_common_script": 30.0,
        "processor_time_of_best_peer_over_wildgate": 2.0,
    }


@pytest.mark.parametrize("name", ["broken", "missing", "stranger"])
def test_the_best_of_some_peers_is_not_the_best_peer(entries: dict[str, Entry], name: str) -> None:
    """A peer that failed, was absent, or took no part at all."""
    found = ratios(entries, (*FOUGHT, name))
    assert (found["best_peer"], found["over_best_peer"], found["over_common_script"]) == (None, None, 15.0)


def test_what_was_not_measured_gives_no_ratio(entries: dict[str, Entry]) -> None:
    entries["common_script"].failed = "it ended"
    assert set(ratios(entries, ()).values()) == {None}


def test_the_fastest_comes_first_and_the_unmeasured_last(entries: dict[str, Entry]) -> None:
    lines = summary(entries)
    assert [line.partition(": 60" if "URI" in line else ":")[0] for line in lines[:5]] == [
        *("wildgate, by file: URI", "wildgate", "Fast", "Slow", "common script")
    ]
    assert set(lines[5:]) == {"Broken: failed", "Missing: absent"}
    assert lines[2] == (
        "Fast: 20.00 videos/s, p99 20 ms, 5 ms of processor a video, scores off by 0.010 (up to 0.1 allowed)"
    )


def test_peers_have_keys_of_their_own() -> None:
    names = [peer.name for peer in PEERS]
    assert len(set(names)) == len(names) == 3
