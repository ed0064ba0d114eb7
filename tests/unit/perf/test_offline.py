"""Scoring without a server says what the server says, alone and in processes of its own."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from checkout import SAMPLES

from wildgate_perf.offline import OfflineRound, OfflineScorer, ScoringLoop, total
from wildgate_server.errors import NotAVideo
from wildgate_server.policy import Action

PARTS = {"sampling", "decoding", "detecting", "policy"}
TIGER = SAMPLES / "tiger_passing.mp4"


@pytest.fixture(scope="module")
def scorer(model_repository: Path) -> OfflineScorer:
    return OfflineScorer(model_repository)


@pytest.mark.parametrize("name", ["tusks_on_a_table.mp4", "tiger_passing.mp4", "ordinary_animals.mp4"])
def test_samples_are_judged_as_they_are_meant(scorer: OfflineScorer, name: str) -> None:
    meant = json.loads((SAMPLES / "truth.json").read_text())["clips"][name]
    judgement = scorer.score(SAMPLES / name)
    assert judgement.action is Action[meant["action"]]
    assert {label.label for label in judgement.labels} == set(meant["labels"])
    assert scorer.score((SAMPLES / name).read_bytes()) == judgement


def test_each_part_is_timed(scorer: OfflineScorer) -> None:
    scorer.cpu_s.clear()
    scorer.score(TIGER)
    assert scorer.cpu_s.keys() == PARTS
    assert scorer.cpu_s["detecting"] > 0


def test_processes_together_are_one() -> None:
    both = total([OfflineRound(10, 5.0, 2.0, {"decoding": 1.5}), OfflineRound(30, 15.0, 4.0, {"decoding": 2.5})])
    assert both == OfflineRound(40, 20.0, 6.0, {"decoding": 4.0})
    assert both.cpu_ms() == {"decoding": 100.0, "rest": 50.0}


def test_two_processes_score_until_the_time_is_over(model_repository: Path) -> None:
    with ScoringLoop(partial(OfflineScorer, model_repository), [TIGER], 2) as offline:
        first, second = offline.score(1e-6), offline.score(0.01)
        assert offline.answers([TIGER])[0].action is Action.REVIEW
    assert first.videos == 2  # one each, which was begun in time
    assert second.videos >= 2
    assert second.per_s > 0
    assert second.parts_s.keys() == PARTS


def test_what_fails_in_a_process_is_raised_here(model_repository: Path) -> None:
    with pytest.raises(NotAVideo), ScoringLoop(partial(OfflineScorer, model_repository), [b"no video"], 1):
        pass
