"""From what was found in clips to the evaluation's figures."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from wildgate_build.reference.evaluate import Tally, Trial, average_precision, evaluate


def trials_of(*wanted: tuple[str, ...]) -> Iterator[Trial]:
    return (Trial(Path(f"{i}.mp4"), labels) for i, labels in enumerate(wanted))


def run(answers: dict[str, set[str]], *wanted: tuple[str, ...]) -> Tally:
    def scorer(path: Path) -> set[str]:
        return answers.get(path.name, set())

    return evaluate(scorer, trials_of(*wanted), lambda trial, got: None)


def test_recall_counts_labels_and_false_alarms_count_harmless_clips() -> None:
    tally = run({"0.mp4": {"a"}, "1.mp4": {"b", "c"}}, ("a", "b"), (), ("c",), ())
    assert tally.recall == pytest.approx(1 / 3)
    assert tally.false_alarms == pytest.approx(1 / 2)
    assert tally.wrong == {"b": 1, "c": 1}
    assert not tally.passed


@pytest.mark.parametrize(("missed", "alarms", "passed"), [(0, 0, True), (2, 1, True), (3, 0, False), (0, 2, False)])
def test_limits(missed: int, alarms: int, passed: bool) -> None:
    answers = {f"{i}.mp4": {"a"} for i in range(20 - missed)} | {f"{20 + i}.mp4": {"a"} for i in range(alarms)}
    tally = run(answers, *[("a",)] * 20, *[()] * 20)
    assert tally.passed is passed


def test_average_precision() -> None:
    scores = np.array([0.9, 0.8, 0.7])
    assert average_precision(scores, np.array([True, True, True]), 3) == pytest.approx(1)
    assert average_precision(scores, np.array([False, True, False]), 1) == pytest.approx(0.5)
    assert average_precision(scores, np.array([True, False, False]), 2) == pytest.approx(0.5)
    assert np.isnan(average_precision(scores[:0], np.zeros(0, bool), 0))
