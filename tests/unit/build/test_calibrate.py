"""Choosing thresholds from scores."""

import numpy as np
import pytest

from wildgate_build.reference.calibrate import CANDIDATES, Evidence, choose


def evidence(shown: list[float], absent: list[float]) -> Evidence:
    return Evidence(shown, absent)


def test_with_clean_scores_the_lowest_threshold_is_taken() -> None:
    clean = {"a": evidence([0.9, 0.8], [0.1, 0.0])}
    assert choose(clean, 0.0) == {"a": pytest.approx(CANDIDATES[0])}


def test_false_alarms_push_the_threshold_just_above_them() -> None:
    mixed = {"a": evidence([0.9, 0.8, 0.6], [0.5, 0.45] + [0.0] * 8)}
    assert choose(mixed, 0.0) == {"a": pytest.approx(0.51)}


def test_the_allowance_goes_to_the_label_that_gains_most() -> None:
    absent = [0.45] + [0.0] * 99
    labels = {
        "gains": evidence([0.40] * 9 + [0.9], absent),
        "does_not": evidence([0.40] + [0.9] * 9, absent),
    }
    chosen = choose(labels, 0.011)
    assert chosen["gains"] <= 0.40
    assert chosen["does_not"] > 0.45


@pytest.mark.parametrize("allowance", [0.0, 0.01, 0.05, 0.2])
def test_the_allowance_is_kept(allowance: float) -> None:
    rng = np.random.default_rng(0)
    labels = {name: evidence(rng.uniform(0.2, 1, 100).tolist(), rng.uniform(0, 0.68, 400).tolist()) for name in "abc"}
    chosen = choose(labels, allowance)
    total = sum(np.mean(np.array(labels[name].absent) >= chosen[name]) for name in labels)
    assert total <= allowance + 1e-9
