"""The curve from evidence to probability, and how sure a share is."""

import numpy as np
import pytest

from wildgate_detector.curve import Evidence, Known, halves, interval, least_evidence


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


def known(name: str, label: str | None, **evidence: float) -> Known:
    return Known(name, label, {"live_tiger": 0.0, "live_lion": 0.0, **evidence})


def test_pictures_of_one_thing_stay_on_one_side() -> None:
    shown = [known(f"thing {at // 3}", None) for at in range(12)] + [
        known(f"cat {at}", "live_tiger") for at in range(4)
    ]
    fitted, judged = halves(shown)
    assert len(fitted) == len(judged) == 8
    assert not {one.name for one in fitted} & {one.name for one in judged}
    assert sum(one.label is not None for one in fitted) == 2


def test_the_least_evidence_lets_no_more_alarm_than_asked_for() -> None:
    quiet = [known(str(at), None, live_lion=float(at)) for at in range(100)]
    for share in (0.0, 0.01, 0.1):
        least = least_evidence(quiet, share)
        assert sum(one.strongest_other >= least for one in quiet) == share * 100


def test_what_is_shown_is_no_other() -> None:
    assert known("cat", "live_tiger", live_tiger=9.0, live_lion=2.0).strongest_other == 2.0
    evidence = Evidence.of([known("cat", "live_tiger", live_tiger=9.0, live_lion=2.0), known("cup", None)])
    assert (evidence.shown.tolist(), evidence.other.tolist()) == ([9.0], [2.0, 0.0])
