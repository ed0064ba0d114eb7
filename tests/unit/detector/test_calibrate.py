"""Choosing thresholds from scores."""

import numpy as np
import pytest

from wildgate_detector.calibrate import Evidence, choose


def evidence(shown: list[float], absent: list[float]) -> Evidence:
    return Evidence(shown, absent)


def test_between_clean_scores_the_middle_is_taken() -> None:
    clean = {"a": evidence([0.9, 0.8], [0.4, 0.3])}
    assert choose(clean, 0.0) == {"a": pytest.approx(0.6, abs=0.011)}


def test_false_alarms_push_the_threshold_above_them() -> None:
    mixed = {"a": evidence([0.9, 0.8, 0.6], [0.5, 0.45] + [0.0] * 8)}
    assert 0.5 < choose(mixed, 0.0)["a"] <= 0.6


def test_the_allowance_goes_to_the_label_that_gains_most() -> None:
    absent = [0.45] + [0.0] * 99
    labels = {
        "gains": evidence([0.40] * 9 + [0.9], absent),
        "does_not": evidence([0.40] + [0.9] * 9, absent),
    }
    chosen = choose(labels, 0.011)
    assert chosen["gains"] <= 0.40
    assert chosen["does_not"] > 0.45


def test_no_label_is_given_up_for_the_others() -> None:
    labels = {"easy": evidence([0.9] * 10, [0.1] * 100), "hard": evidence([0.5] * 10, [0.6] * 10 + [0.1] * 90)}
    assert choose(labels, 0.0)["hard"] > 0.5
    assert choose(labels, 0.0, least_recall=0.8)["hard"] <= 0.5


@pytest.mark.parametrize("allowance", [0.0, 0.01, 0.05, 0.2])
def test_the_allowance_is_kept(allowance: float) -> None:
    rng = np.random.default_rng(0)
    labels = {name: evidence(rng.uniform(0.2, 1, 100).tolist(), rng.uniform(0, 0.68, 400).tolist()) for name in "abc"}
    chosen = choose(labels, allowance)
    total = sum(np.mean(np.array(labels[name].absent) >= chosen[name]) for name in labels)
    assert total <= allowance + 1e-9
