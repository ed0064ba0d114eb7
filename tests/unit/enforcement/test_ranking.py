from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from wildgate_enforcement.policy import RankWeights
from wildgate_enforcement.ranking import Pressing, rank_of
from wildgate_proto.v1 import scoring_pb2

CASE = Pressing(
    action=scoring_pb2.ACTION_REVIEW,
    score=0.5,
    appendices=frozenset({"II"}),
    views=100,
    report_weight=0.0,
    disseminating=False,
    appealed=False,
    since_ms=1_800_000_000_000,
)


@pytest.mark.parametrize(
    "more",
    [
        {"action": scoring_pb2.ACTION_BLOCK},
        {"score": 0.9},
        {"appendices": frozenset({"III", "I/II"})},
        {"views": 1_000_000},
        {"report_weight": 0.5},
        {"disseminating": True},
        {"appealed": True},
        {"since_ms": CASE.since_ms - 3_600_000},
    ],
)
def test_what_is_graver_wider_seen_reported_or_older_comes_first(more: dict[str, Any]) -> None:
    assert rank_of(replace(CASE, **more), RankWeights()) > rank_of(CASE, RankWeights())


def test_a_crowd_of_reports_adds_no_more_than_the_limit() -> None:
    weights = RankWeights()
    crowd, limit = (replace(CASE, report_weight=weight) for weight in (1e9, weights.most_reports))
    assert rank_of(crowd, weights) == rank_of(limit, weights)


def test_odd_numbers_make_no_odd_rank() -> None:
    assert rank_of(replace(CASE, views=-5, score=7.0), RankWeights()) < rank_of(CASE, RankWeights()) + 10
