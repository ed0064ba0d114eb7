"""Matching two detectors' answers: what is a pair, what is missing, what is only near the threshold."""

from __future__ import annotations

import numpy as np
import pytest

from wildgate_build.check.matching import Differences, MatchRule
from wildgate_build.errors import ComparisonError

RULE = MatchRule(thresholds=(0.5, 0.3), iou=0.5, margin=0.05)
BOX = (0.1, 0.1, 0.5, 0.5)
ELSEWHERE = (0.6, 0.6, 0.9, 0.9)


def frame(*detections: tuple[tuple[float, float, float, float], float, int]) -> np.ndarray:
    rows = np.zeros((6, 6), np.float32)
    for row, (box, score, label) in zip(rows, detections, strict=False):
        row[:] = (*box, score, label)
    return rows


def differences(seen: np.ndarray, answer: np.ndarray, rule: MatchRule = RULE) -> Differences:
    result = Differences(rule)
    result.add(seen[None], answer[None])
    return result


def moved(box: tuple[float, float, float, float], by: float) -> tuple[float, float, float, float]:
    return tuple(edge + by for edge in box)


def test_the_same_answer_has_no_differences() -> None:
    seen = frame((BOX, 0.9, 0), (ELSEWHERE, 0.4, 1))
    result = differences(seen, seen)
    assert (result.pairs, result.missing, result.extra, result.loss) == (2, 0, 0, 0)
    assert (result.score, result.box) == ([0, 0], [0, 0])


def test_a_pair_gives_the_difference_of_scores_and_of_the_worst_edge() -> None:
    shifted = (0.1, 0.12, 0.5, 0.47)
    result = differences(frame((BOX, 0.9, 0)), frame((shifted, 0.8, 0)))
    assert result.score == pytest.approx([0.1])
    assert result.box == pytest.approx([0.03])


def test_the_best_overlap_wins_not_the_best_score() -> None:
    seen = frame((BOX, 0.9, 0))
    result = differences(seen, frame((moved(BOX, 0.05), 0.9, 0), (moved(BOX, 0.01), 0.6, 0)))
    assert result.box == pytest.approx([0.01])
    assert (result.missing, result.extra) == (0, 1)


def test_each_detection_has_one_partner_at_most() -> None:
    result = differences(frame((BOX, 0.9, 0)), frame((BOX, 0.9, 0), (BOX, 0.8, 0)))
    assert (result.pairs, result.extra) == (1, 1)


def test_another_label_is_no_partner() -> None:
    result = differences(frame((BOX, 0.9, 0)), frame((BOX, 0.9, 1)))
    assert (result.pairs, result.missing, result.extra, result.loss) == (0, 1, 1, 1)


@pytest.mark.parametrize(("by", "pairs"), [(0.06, 1), (0.08, 0)])
def test_partners_overlap_by_half(by: float, pairs: int) -> None:
    # Squares of side 0.4, moved along the diagonal: the overlap falls to a half at 0.0734.
    assert differences(frame((BOX, 0.9, 0)), frame((moved(BOX, by), 0.9, 0))).pairs == pairs


def test_what_stays_below_its_labels_threshold_does_not_count() -> None:
    result = differences(frame((BOX, 0.4, 0), (ELSEWHERE, 0.29, 1)), frame())
    assert (result.pairs, result.missing) == (0, 0)
    result = differences(frame((BOX, 0.5, 0), (ELSEWHERE, 0.3, 1)), frame())
    assert result.missing == 2


@pytest.mark.parametrize("swap", [False, True])
def test_a_score_that_slips_over_the_threshold_is_a_difference_of_scores(swap: bool) -> None:
    sides = frame((BOX, 0.52, 0)), frame((BOX, 0.47, 0))
    result = differences(*(reversed(sides) if swap else sides))
    assert (result.pairs, result.missing, result.extra) == (1, 0, 0)
    assert result.score == pytest.approx([0.05])


def test_one_that_falls_farther_is_missing() -> None:
    result = differences(frame((BOX, 0.9, 0)), frame((BOX, 0.44, 0)))
    assert (result.missing, result.near_missing, result.extra) == (1, 0, 0)


def test_unmatched_ones_near_the_threshold_are_told_apart() -> None:
    result = differences(frame((BOX, 0.53, 0), (ELSEWHERE, 0.9, 0)), frame((ELSEWHERE, 0.31, 1), (BOX, 0.36, 1)))
    assert (result.missing, result.near_missing, result.extra, result.near_extra) == (2, 1, 2, 1)
    assert result.unmatched_share == 1


def test_the_loss_is_one_less_f1() -> None:
    seen = frame((BOX, 0.9, 0), (ELSEWHERE, 0.9, 0))
    answer = frame((BOX, 0.9, 0), (ELSEWHERE, 0.9, 1), ((0.1, 0.6, 0.3, 0.9), 0.9, 1))
    result = differences(seen, answer)
    precision, recall = 1 / 3, 1 / 2
    assert result.loss == pytest.approx(1 - 2 * precision * recall / (precision + recall))
    assert result.unmatched_share == pytest.approx(3 / 4)


def test_the_surest_label_of_each_frame_is_compared() -> None:
    seen = np.stack([frame((BOX, 0.9, 0), (BOX, 0.6, 1)), frame((BOX, 0.9, 0)), frame(), frame((BOX, 0.2, 0))])
    answer = np.stack([frame((BOX, 0.6, 0), (BOX, 0.9, 1)), frame((BOX, 0.8, 0)), frame(), frame()])
    result = Differences(RULE)
    result.add(seen, answer)
    assert (result.frames, result.same_best) == (4, 3)
    assert result.summary()["same_best_share"] == 0.75


def test_boxes_without_area_match_nothing() -> None:
    flat = (0.1, 0.1, 0.1, 0.5)
    with np.errstate(all="raise"):
        result = differences(frame((flat, 0.9, 0)), frame((flat, 0.9, 0)))
    assert (result.pairs, result.missing, result.extra) == (0, 1, 1)


def test_frames_add_up() -> None:
    result = Differences(RULE)
    for score in (0.9, 0.8, 0.7):
        result.add(frame((BOX, score, 0))[None], frame((BOX, 0.6, 0))[None])
    summary = result.summary()
    assert (summary["frames"], summary["pairs"]) == (3, 3)
    assert summary["score_largest"] == pytest.approx(0.3)
    assert summary["score_mean"] == pytest.approx(0.2)
    assert 0.29 < summary["score_p99"] < 0.3


def test_nothing_seen_gives_zeros() -> None:
    summary = differences(frame(), frame()).summary()
    assert (summary["loss"], summary["score_largest"], summary["box_p99"], summary["unmatched_share"]) == (0, 0, 0, 0)


def test_other_numbers_of_frames_are_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"\(1, 6, 6\) against \(2, 6, 6\)"):
        Differences(RULE).add(np.zeros((1, 6, 6), np.float32), np.zeros((2, 6, 6), np.float32))


@pytest.mark.parametrize("index", [2, -1, float("nan")])
def test_a_class_without_a_label_is_named(index: float) -> None:
    good, bad = frame((BOX, 0.9, 0)), frame((BOX, 0.9, 0), (ELSEWHERE, 0.1, index))
    result = Differences(RULE, names=("a.onnx", "b.onnx"))
    for pair, name in (((bad, good), "a"), ((good, bad), "b")):
        with pytest.raises(ComparisonError, match=rf"{name}\.onnx: answered class {index:g}, it has 2 labels"):
            result.add(*(rows[None] for rows in pair))
    unused = frame((BOX, 0.9, 0), (ELSEWHERE, 0.0, index))
    result.add(unused[None], good[None])
    assert result.pairs == 1
