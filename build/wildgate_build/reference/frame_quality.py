"""Detection quality frame by frame: mean average precision at IoU 0.5 on composed frames never trained on."""

import numpy as np
from numpy.typing import NDArray

from wildgate_build.reference.evaluate import average_precision
from wildgate_build.reference.labels import LABELS
from wildgate_build.reference.offline import Detector
from wildgate_build.reference.props import PropRoom
from wildgate_build.reference.scenes import compose, letterboxed
from wildgate_build.reference.seeds import Purpose, stream

FRAME_SHAPES = ((180, 320), (320, 180), (240, 320), (320, 320))
HIDDEN_BELOW = 0.35
"""Objects of which less is in sight are neither wanted nor held against the detector."""


def iou(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of one box [4] with many [n, 4]."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    area = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1)
    shares: NDArray[np.float64] = shared / np.maximum(area - shared, 1e-9)
    return shares


def average_precisions(detector: Detector, props: PropRoom, frames: int, seed: int) -> dict[str, float]:
    """Average precision at IoU 0.5 by label, over `frames` composed frames; NaN for a label not shown."""
    scores: dict[str, list[float]] = {label: [] for label in LABELS}
    hits: dict[str, list[bool]] = {label: [] for label in LABELS}
    wanted = dict.fromkeys(LABELS, 0)
    for index in range(frames):
        rng = stream(Purpose.HELD_OUT, seed, index)
        height, width = FRAME_SHAPES[index % len(FRAME_SHAPES)]
        picture, seen = compose(rng, props, height, width).draw(0.0, rng)
        square, _, left, top = letterboxed(picture, detector.side)
        rows = detector(square[None])[0]
        for label in LABELS:
            mine = [item for item in seen if item.label == label]
            clear = np.array([item.visible >= HIDDEN_BELOW for item in mine], bool)
            boxes = np.array([item.box for item in mine], float).reshape(-1, 4) + np.array((left, top, left, top))
            wanted[label] += int(clear.sum())
            taken = np.zeros(len(mine), bool)
            for row in rows[(rows[:, 4] > 0) & (rows[:, 5] == LABELS.index(label))]:
                overlaps = iou(row[:4].astype(float) * detector.side, boxes) if mine else np.zeros(0)
                best = int(overlaps.argmax()) if mine else -1
                match = best >= 0 and overlaps[best] >= 0.5
                if match and not clear[best]:
                    continue
                scores[label].append(float(row[4]))
                hits[label].append(bool(match and not taken[best]))
                if match:
                    taken[best] = True
    return {
        label: average_precision(np.array(scores[label]), np.array(hits[label], bool), wanted[label])
        for label in LABELS
    }
