"""The steps of a rollout, and from where they cannot be taken."""

from __future__ import annotations

import pytest

from wildgate_build.errors import PublishError
from wildgate_build.publish.rollout_steps import promote, roll_back, start_canary, stop_canary
from wildgate_server.repository.releases import Canary, Rollout

FRESH = Rollout(serving=1)
TRIAL = Rollout(serving=2, previous=1, canary=Canary(version=3, share=0.05))


def test_a_trial_begins_changes_and_ends() -> None:
    assert start_canary(Rollout(serving=2, previous=1), 3, 0.05) == TRIAL
    assert start_canary(TRIAL, 4, 0.5) == Rollout(serving=2, previous=1, canary=Canary(version=4, share=0.5))
    assert start_canary(TRIAL, 1, 0.5).canary == Canary(version=1, share=0.5)
    assert stop_canary(TRIAL) == Rollout(serving=2, previous=1)


def test_promotion_remembers_what_served() -> None:
    assert promote(TRIAL, None) == Rollout(serving=3, previous=2)
    assert promote(TRIAL, 5) == Rollout(serving=5, previous=2)


def test_the_way_back_leads_back_once() -> None:
    assert roll_back(TRIAL) == Rollout(serving=1)
    with pytest.raises(PublishError, match="nothing is known to have served before version 1"):
        roll_back(roll_back(TRIAL))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda: start_canary(FRESH, 1, 0.5), "version 1 serves: there is nothing to try it against"),
        (lambda: stop_canary(FRESH), "no version is on trial"),
        (lambda: promote(FRESH, None), "no version is on trial: name the one to promote"),
        (lambda: promote(FRESH, 1), "version 1 serves already"),
        (lambda: roll_back(FRESH), "nothing is known to have served before version 1"),
    ],
)
def test_a_step_that_leads_nowhere_is_refused(step, message: str) -> None:
    with pytest.raises(PublishError, match=message):
        step()
