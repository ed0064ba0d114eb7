"""The curve from evidence to probability, and how sure a share is."""

import numpy as np
import pytest

from wildgate_detector.curve import Evidence, interval


def test_a_curve_that_made_the_evidence_is_found_again() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 12, 20000)
    listed = rng.random(values.size) < 1 / (1 + np.exp(3 - 0.6 * values))
    evidence = Evidence(values[listed], values[~listed])
    bias, weight = evidence.fit()
    shift = np.log((~listed).sum() / listed.sum())  # to a world of halves
    assert weight == pytest.approx(0.6, rel=0.1)
    assert bias == pytest.approx(-3 + shift, abs=0.3)
    _, error = evidence.reliability(bias, weight)
    assert error < 0.05


def test_a_wrong_curve_is_called_miscalibrated() -> None:
    rng = np.random.default_rng(1)
    same = Evidence(rng.uniform(0, 5, 500), rng.uniform(0, 5, 500))
    assert same.reliability(-4.0, 3.0)[1] > 0.2


def test_few_trials_leave_a_wide_interval() -> None:
    low, high = interval(19, 26)
    assert (low, high) == (pytest.approx(0.54, abs=0.01), pytest.approx(0.87, abs=0.01))
    assert interval(0, 0) == (0.0, 1.0)
