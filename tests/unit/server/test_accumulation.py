"""Evidence that adds up over looked-at frames, and the verdict by the probability that it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from wildgate_server.accumulation import accumulate, probability
from wildgate_server.persistence import ShownFrame
from wildgate_server.policy import Action, Judgement, Policy, Sighting, View

APART_S = 2.0


def frames(count: int, gap_s: float = APART_S) -> list[ShownFrame]:
    return [ShownFrame(at * gap_s) for at in range(count)]


def evidence(scores: Sequence[float], gap_s: float = APART_S) -> float:
    together = accumulate(frames(len(scores), gap_s), scores, 0.2, APART_S)
    return together.evidence if together else 0.0


def test_a_steady_low_score_says_more_than_a_single_higher_one() -> None:
    assert evidence([0.4] * 8) > evidence([0.6] + [0.0] * 7) > evidence([0.4] + [0.0] * 7) > 0


def test_frames_close_in_time_say_less_than_frames_apart() -> None:
    assert evidence([0.4], 2) < evidence([0.4] * 4, 0.25) < evidence([0.4] * 4, 2)


def test_what_is_shown_for_a_while_counts_in_a_long_video_too() -> None:
    together = accumulate(frames(9), [0.0, 0.0, 0.0, 0.5, 0.1, 0.5, 0.0, 0.0, 0.0], 0.2, APART_S)
    assert together is not None
    assert (together.first, together.last) == (3, 5)
    assert together.evidence == pytest.approx(evidence([0.5, 0.1, 0.5]))


def test_scores_below_the_reference_are_no_evidence() -> None:
    assert accumulate(frames(3), [0.19, 0.0, 0.1], 0.2, APART_S) is None


def test_a_certain_score_stays_finite() -> None:
    assert evidence([1.0]) == pytest.approx(evidence([0.98]))
    assert probability(1e6, 0.0, 1.0) == pytest.approx(1.0)
    assert probability(0.0, 0.0, 1.0) == 0.5


def policy(**changes: Any) -> Policy:
    rule = {
        "group": "live_animal",
        "taxon": "Lutrinae",
        "cites_appendix": "I/II",
        "review": {"score": 0.2, "probability": 0.5},
    }
    document = {"version": "7", "accumulation": {"bias": -2.5, "weight": 1.0}, "labels": {"otter": rule | changes}}
    return Policy.model_validate(document)


def judged(*scores: float) -> Judgement:
    times_s = [at * APART_S for at in range(len(scores))]
    sightings = [Sighting("otter", score, time_s) for score, time_s in zip(scores, times_s, strict=True) if score]
    return policy().judge(sightings, View.of_frames(times_s, [0.04] * len(times_s)))


def test_frames_that_each_say_too_little_call_for_review_together() -> None:
    assert judged(0.4, 0.0, 0.0, 0.0).action is Action.ALLOW
    verdict = judged(0.0, 0.4, 0.4, 0.4)
    assert verdict.action is verdict.certain is Action.REVIEW
    [label] = verdict.labels
    assert (label.frames, label.spans_s) == (3, ((2.0, 6.0),))
    assert 0.5 <= label.score < 0.7


def test_what_nearly_calls_for_review_is_looked_at_again() -> None:
    verdict = judged(0.0, 0.6, 0.0, 0.0)
    assert verdict.action is Action.ALLOW
    assert [(doubt.action, doubt.time_s) for doubt in verdict.doubts] == [(Action.REVIEW, 2.0)]
    assert judged(0.25, 0.0).doubts == ()


def test_a_label_that_can_block_counts_seconds() -> None:
    with pytest.raises(ValueError, match="counts seconds"):
        policy(block={"score": 0.5, "seconds": 1})


def test_a_probability_needs_its_curve() -> None:
    rules = policy().model_dump(mode="json", exclude={"accumulation"})
    with pytest.raises(ValueError, match="accumulation is missing"):
        Policy.model_validate(rules)
