"""Pre- and post-processing of each family in plain NumPy, from the projects' documentation, for one frame at a time.

It shares nothing with the importer. Boxes are x1, y1, x2, y2 in pixels of the network.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Decoded = tuple[Floats, Floats]  # boxes [N, 4], scores [N, C]


def prepared(frame: NDArray[np.uint8], side: int, channels: str, values: str) -> NDArray[np.float32]:
    """The network's input [1, 3, side, side] for one RGB frame [S, S, 3]."""
    picture = cv2.resize(frame.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    if values != "0-255":
        picture = picture / 255
    if values == "imagenet":
        picture = (picture - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    if channels == "bgr":
        picture = picture[:, :, ::-1]
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)


def corners(middle_and_size: Floats) -> Floats:
    x, y, w, h = middle_and_size.T
    return np.stack((x - w / 2, y - h / 2, x + w / 2, y + h / 2), axis=1)


def yolov5(rows: Floats) -> Decoded:
    return corners(rows[:, :4]), rows[:, 4:5] * rows[:, 5:]


def yolov8(columns: Floats) -> Decoded:
    return corners(columns[:4].T), columns[4:].T


def yolox(rows: Floats, side: int) -> Decoded:
    rows = rows.copy()
    i = 0
    for stride in (8, 16, 32):
        for y in range(side // stride):
            for x in range(side // stride):
                rows[i, 0], rows[i, 1] = (rows[i, 0] + x) * stride, (rows[i, 1] + y) * stride
                rows[i, 2:4] = np.exp(rows[i, 2:4]) * stride
                i += 1
    assert i == len(rows)
    return yolov5(rows)


def listed(boxes: Floats, scores: Floats, names: Floats, classes: int) -> Decoded:
    """Of a list with one class index for each box."""
    every = np.zeros((len(boxes), classes))
    for i, (score, name) in enumerate(zip(scores, names, strict=True)):
        every[i, int(name)] = score
    return boxes, every


def detr(logits: Floats, shares: Floats, side: int, *, softmax: bool) -> Decoded:
    if softmax:
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = (powers / powers.sum(axis=1, keepdims=True))[:, :-1]
    else:
        scores = 1 / (1 + np.exp(-logits))
    return corners(shares) * side, scores


def relabelled(scores: Floats, columns: Sequence[Sequence[int]]) -> Floats:
    return np.stack([scores[:, list(group)].max(axis=1) for group in columns], axis=1)


def overlap(a: Floats, b: Floats) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def suppressed(boxes: Floats, scores: Floats, *, most: float, least: float, detections: int, side: int) -> Floats:
    """Greedy suppression by class, a place standing for its best class; rows as in DETECTIONS."""
    names, best = scores.argmax(axis=1), scores.max(axis=1)
    kept: list[int] = []
    for i in np.argsort(-best, kind="stable"):
        if best[i] <= least:
            break
        if not any(names[j] == names[i] and overlap(boxes[j], boxes[i]) > most for j in kept):
            kept.append(int(i))
    return _rows([(boxes[i], best[i], names[i]) for i in kept], detections, side)


def ranked(boxes: Floats, scores: Floats, *, least: float, detections: int, side: int) -> Floats:
    """The best of all places and classes; rows as in DETECTIONS."""
    found = [
        (boxes[place], scores[place, name], name)
        for place in range(scores.shape[0])
        for name in range(scores.shape[1])
        if scores[place, name] > least
    ]
    return _rows(sorted(found, key=lambda row: -row[1]), detections, side)


def _rows(found: Sequence[tuple[Floats, float, int]], detections: int, side: int) -> Floats:
    rows = np.zeros((detections, 6))
    for row, (box, score, name) in zip(rows, found, strict=False):
        row[:] = (*np.clip(box / side, 0, 1), score, name)
    return rows
