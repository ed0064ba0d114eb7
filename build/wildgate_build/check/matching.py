"""Matches what two detectors saw in the same frames.

Detections of one label are paired greedily, best overlap first (IoU, as in Pascal VOC's matching, Everingham et al.
2010, but against another detector instead of the truth). What counts is what would count in the server: scores at a
label's serving threshold. A partner may lie `margin` below it, so that a score that just crosses the threshold counts
as a difference of scores, not as a lost detection.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from wildgate_build.errors import ComparisonError

__all__ = ["Differences", "MatchRule"]

Rows = npt.NDArray[np.float32]
Thresholds = npt.NDArray[np.float32]

_SCORE: Final = 4
_LABEL: Final = 5


@dataclass(frozen=True)
class MatchRule:
    """Which detections count and which match.

    `thresholds` are the labels' serving thresholds (score) in class order; a detection counts from its threshold on
    and may be a partner from `margin` below. Partners overlap by at least `iou`.
    """

    thresholds: tuple[float, ...]
    iou: float = 0.5
    margin: float = 0.05


@dataclass
class Differences:
    """Differences between a reference and a candidate, over all frames added so far.

    `missing` counts detections of the reference without a partner, `extra` those of the candidate; of these,
    `near_missing` and `near_extra` lie within `margin` above the threshold. `score` and `box` hold, for each pair, the
    difference of the scores and the largest difference of an edge (share of the frame's side). `same_best` counts the
    frames in which both are surest of the same label, or neither sees anything. `names` are those of reference and
    candidate in errors.
    """

    rule: MatchRule
    names: tuple[str, str] = ("the reference", "the candidate")
    frames: int = 0
    missing: int = 0
    extra: int = 0
    near_missing: int = 0
    near_extra: int = 0
    same_best: int = 0
    score: list[float] = field(default_factory=list)
    box: list[float] = field(default_factory=list)

    def add(self, reference: Rows, candidate: Rows) -> None:
        """Compares what both saw in the same frames: detections [n, K, 6] each, as the standard graph gives them.

        Raises ComparisonError for a class index without a label, ValueError when the shapes differ.
        """
        if reference.shape != candidate.shape:
            raise ValueError(f"detections {reference.shape} against {candidate.shape}")
        for name, rows in zip(self.names, (reference, candidate), strict=True):
            _require_labels(rows, len(self.rule.thresholds), name)
        for seen, answer in zip(reference, candidate, strict=True):
            self._add_frame(*(self._possible(rows[rows[:, _SCORE] > 0]) for rows in (seen, answer)))

    @property
    def pairs(self) -> int:
        """The number of detections found by both."""
        return len(self.score)

    @property
    def loss(self) -> float:
        """1 - F1 of the candidate's detections with the reference's as the truth: 0 is the same, 1 is nothing shared.

        F1 is 2 TP / (2 TP + FP + FN), with pairs for TP, extra for FP and missing for FN. 0 where neither saw anything.
        """
        unmatched = self.missing + self.extra
        return unmatched / (2 * self.pairs + unmatched) if unmatched else 0.0

    @property
    def unmatched_share(self) -> float:
        """The share of all distinct detections that have no partner, not counting those near the threshold."""
        far = self.missing + self.extra - self.near_missing - self.near_extra
        return far / (self.pairs + far) if far else 0.0

    def summary(self) -> dict[str, float | int]:
        """The figures, with the largest difference and the 99th percentile of scores and boxes."""
        return {
            "frames": self.frames,
            "pairs": self.pairs,
            "missing": self.missing,
            "extra": self.extra,
            "near_missing": self.near_missing,
            "near_extra": self.near_extra,
            "loss": self.loss,
            "unmatched_share": self.unmatched_share,
            "score_largest": max(self.score, default=0.0),
            "score_p99": _percentile99(self.score),
            "score_mean": float(np.mean(self.score)) if self.score else 0.0,
            "box_largest": max(self.box, default=0.0),
            "box_p99": _percentile99(self.box),
            "same_best_share": self.same_best / self.frames if self.frames else 1.0,
        }

    def _add_frame(self, seen: Rows, answer: Rows) -> None:
        sides = seen, answer
        counts = [rows[:, _SCORE] >= self._thresholds(rows) for rows in sides]
        alone = [side.copy() for side in counts]
        for i, j in _pairs(seen, answer, self.rule.iou):
            alone[0][i] = alone[1][j] = False
            if counts[0][i] or counts[1][j]:
                self.score.append(float(abs(seen[i, _SCORE] - answer[j, _SCORE])))
                self.box.append(float(np.abs(seen[i, :_SCORE] - answer[j, :_SCORE]).max()))
        near = [
            each & (rows[:, _SCORE] < self._thresholds(rows) + self.rule.margin)
            for each, rows in zip(alone, sides, strict=True)
        ]
        self.missing += int(alone[0].sum())
        self.extra += int(alone[1].sum())
        self.near_missing += int(near[0].sum())
        self.near_extra += int(near[1].sum())
        self.same_best += _best(seen[counts[0]]) == _best(answer[counts[1]])
        self.frames += 1

    def _thresholds(self, rows: Rows) -> Thresholds:
        thresholds: Thresholds = np.asarray(self.rule.thresholds, np.float32)[rows[:, _LABEL].astype(int)]
        return thresholds

    def _possible(self, used: Rows) -> Rows:
        """The rows that count or may be a partner."""
        possible: Rows = used[used[:, _SCORE] >= self._thresholds(used) - self.rule.margin]
        return possible


def _require_labels(rows: Rows, labels: int, name: str) -> None:
    answered = rows[rows[..., _SCORE] > 0][:, _LABEL]
    unknown = answered[~((answered >= 0) & (answered < labels))]  # NaN included
    if len(unknown):
        raise ComparisonError(f"{name}: answered class {unknown[0]:g}, it has {labels} labels (0 to {labels - 1})")


def _pairs(seen: Rows, answer: Rows, least_iou: float) -> list[tuple[int, int]]:
    overlap = _overlap(seen, answer)
    overlap[seen[:, None, _LABEL] != answer[None, :, _LABEL]] = -1
    pairs = []
    free_seen, free_answer = set(range(len(seen))), set(range(len(answer)))
    for place in np.argsort(-overlap, axis=None, kind="stable").tolist():
        i, j = divmod(place, len(answer))
        if overlap[i, j] < least_iou:
            break
        if i in free_seen and j in free_answer:
            pairs.append((i, j))
            free_seen.discard(i)
            free_answer.discard(j)
    return pairs


def _overlap(left: Rows, right: Rows) -> npt.NDArray[np.float32]:
    """Intersection over union of each of `left` with each of `right`; boxes without area overlap nothing."""
    low = np.maximum(left[:, None, :2], right[None, :, :2])
    high = np.minimum(left[:, None, 2:4], right[None, :, 2:4])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [np.clip(rows[:, 2:4] - rows[:, :2], 0, None).prod(axis=1) for rows in (left, right)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    overlap: npt.NDArray[np.float32] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlap


def _best(rows: Rows) -> int | None:
    return int(rows[np.argmax(rows[:, _SCORE]), _LABEL]) if len(rows) else None


def _percentile99(values: list[float]) -> float:
    return float(np.percentile(values, 99)) if values else 0.0
