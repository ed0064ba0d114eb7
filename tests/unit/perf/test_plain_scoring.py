"""Scoring without a server says what the server says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from checkout import SAMPLES

from wildgate_perf.plain_scoring import PlainScorer, file_source, sampling_arguments
from wildgate_server.errors import NotAVideo
from wildgate_server.policy import Action


@pytest.fixture(scope="module")
def scorer(model_repository: Path) -> PlainScorer:
    return PlainScorer(model_repository)


@pytest.mark.parametrize("name", ["tusks_on_a_table.mp4", "tiger_passing.mp4", "ordinary_animals.mp4"])
def test_samples_are_judged_as_they_are_meant(scorer: PlainScorer, name: str) -> None:
    meant = json.loads((SAMPLES / "truth.json").read_text())["clips"][name]
    judgement = scorer.score(file_source(SAMPLES / name))
    assert judgement.action is Action[meant["action"]]
    assert {label.label for label in judgement.labels} == set(meant["labels"])
    assert scorer.score((SAMPLES / name).read_bytes()) == judgement


def test_each_part_is_timed(scorer: PlainScorer) -> None:
    scorer.cpu_s.clear()
    scorer.score(file_source(SAMPLES / "tiger_passing.mp4"))
    assert scorer.cpu_s.keys() == {"sampling", "decoding", "detecting", "policy"}
    assert all(seconds >= 0 for seconds in scorer.cpu_s.values())
    assert scorer.cpu_s["detecting"] > 0


def test_what_is_no_video_is_refused(scorer: PlainScorer) -> None:
    with pytest.raises(NotAVideo):
        scorer.score(b"no video at all, whatever it is called")


def test_sampling_is_that_of_the_models(model_repository: Path) -> None:
    config, limits = sampling_arguments(model_repository)
    assert config.frames_per_window == 8
    assert not config.read_coding  # as the server's cpu profile has it
    assert limits.max_bytes == 64 << 20
