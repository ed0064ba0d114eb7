"""Scoring without a server says what the server says, alone and in processes of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from checkout import SAMPLES

from wildgate_perf.load_generator import LoadGenerator
from wildgate_perf.loops import LoadPlan
from wildgate_perf.offline import Offline, OfflineScorer
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


def test_each_part_of_the_last_video_is_timed(scorer: OfflineScorer) -> None:
    scorer.score(TIGER)
    once = dict(scorer.cpu_ms)
    scorer.score(TIGER)
    assert once.keys() == PARTS
    assert scorer.cpu_ms["detecting"] < 1.9 * once["detecting"]


def test_two_processes_score_each_their_videos(model_repository: Path) -> None:
    workload = Offline(model_repository, (TIGER, TIGER.read_bytes()))
    with LoadGenerator(2) as cores:
        measured = cores.closed(workload, LoadPlan(1, 0.0, 100.0, requests=2))
        failing = cores.closed(Offline(model_repository, (b"no video",)), LoadPlan(1, 0.0, 100.0, requests=1))
    assert measured.answered == 4
    assert measured.stages_ms(0.5).keys() == PARTS
    assert measured.per_s > 0
    assert measured.cpu_s > 0
    assert failing.failures == {"NotAVideo": 2}
