"""Training examples: composed pictures, letterboxed, and the same ones retouched for another look."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from wildgate_detector.labels import NOTHING, PRODUCTS, UNSURE
from wildgate_detector.props import PropRoom
from wildgate_detector.scenes import NegativeMix, any_caption, compose, letterboxed, write_caption
from wildgate_detector.surfaces import Picture

MOST_OBJECTS = 16
HIDDEN_BELOW = 0.5
"""An object of which less is in sight is not asked for: half a tusk behind a vase may be a branch."""
NEGATIVES = NegativeMix(lookalikes=0.6, confusing=True)
"""More look-alikes than clips show, for they are hard."""
ASPECTS = ((16, 9), (9, 16), (9, 16), (4, 3), (3, 4), (1, 1))
CROWDED_ASPECTS = ((1, 1), (1, 1), (4, 3), (3, 4), (16, 9), (9, 16))

Item = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64]]
"""A picture [side, side, 3], boxes [MOST_OBJECTS, 4] in pixels and labels [MOST_OBJECTS]."""


def training_item(
    rng: np.random.Generator, props: PropRoom, side: int, *, crowded: bool = False, photographs: Sequence[Picture] = ()
) -> Item:
    """Compose one example, some before `photographs`."""
    aspects = CROWDED_ASPECTS if crowded else ASPECTS
    wide, tall = aspects[rng.integers(0, len(aspects))]
    longest = max(wide, tall)
    height, width = round(side * tall / longest), round(side * wide / longest)
    scene = compose(rng, props, height, width, crowded=crowded, negatives=NEGATIVES, photographs=photographs)
    frame, seen = scene.draw(0.0, rng)
    bars = (0, 0)
    if rng.random() < 0.1:
        bars = _bars(height, width, float(rng.uniform(0.04, 0.16)))
        shade = (int(rng.integers(0, 24)),) * 3
        frame = cv2.copyMakeBorder(frame, bars[0], bars[0], bars[1], bars[1], cv2.BORDER_CONSTANT, value=shade).astype(
            np.uint8
        )
    square, scale, left, top = letterboxed(frame, side)
    boxes = np.zeros((MOST_OBJECTS, 4), np.float32)
    labels = np.full(MOST_OBJECTS, NOTHING, np.int64)
    shift = np.array((bars[1], bars[0], bars[1], bars[0]))
    products = [item for item in seen if item.label in PRODUCTS]
    for index, item in enumerate(products[:MOST_OBJECTS]):
        boxes[index] = (np.array(item.box) + shift) * scale + np.array((left, top, left, top))
        labels[index] = PRODUCTS.index(item.label) if item.visible >= HIDDEN_BELOW else UNSURE
    return square, boxes, labels


def _bars(height: int, width: int, share: float) -> tuple[int, int]:
    """Rows above and below, and columns left and right: across the longer direction."""
    return (round(height * share), 0) if width >= height else (0, round(width * share))


def retouched(rng: np.random.Generator, item: Item) -> Item:
    """The example as another camera, editor or platform would show it.

    Mirrored, nearer or farther and off-centre, brighter or darker, lettered, compressed hard: each by chance.
    An object of which the move leaves less than half is not asked for any more.
    """
    square, boxes, labels = item
    side = square.shape[0]
    if rng.random() < 0.5:
        square = square[:, ::-1]
        boxes = boxes.copy()
        boxes[:, [0, 2]] = side - boxes[:, [2, 0]]
    if rng.random() < 0.6:
        square, boxes, labels = _moved(rng, np.ascontiguousarray(square), boxes, labels)
    if rng.random() < 0.12:
        square = np.ascontiguousarray(square)
        write_caption(square, any_caption(rng, share=1.0) or "")
    if rng.random() < 0.7:
        levels = (np.arange(256) / 255.0) ** rng.uniform(0.75, 1.3) * 255.0 * rng.uniform(0.6, 1.45)
        table = np.clip(levels[:, None] * rng.uniform(0.94, 1.06, 3), 0, 255).astype(np.uint8)
        square = cv2.LUT(np.ascontiguousarray(square), table[None]).astype(np.uint8)
    if rng.random() < 0.2:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(8, 40))]
        _, coded = cv2.imencode(".jpg", np.ascontiguousarray(square), quality)
        square = cv2.imdecode(coded, cv2.IMREAD_COLOR).astype(np.uint8)
    return np.ascontiguousarray(square), boxes, labels


def _moved(rng: np.random.Generator, square: Picture, boxes: NDArray[np.float32], labels: NDArray[np.int64]) -> Item:
    side = square.shape[0]
    scale = float(np.exp(rng.uniform(np.log(0.78), np.log(1.28))))
    room = abs(scale - 1) / 2 * side + 0.06 * side
    x, y = (side * (1 - scale) / 2 + rng.uniform(-room, room, 2)).tolist()
    matrix = np.array([[scale, 0.0, x], [0.0, scale, y]])
    moved = cv2.warpAffine(
        square, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(114,) * 3
    ).astype(np.uint8)
    placed = boxes * np.float32(scale) + np.array((x, y, x, y), np.float32)
    inside = placed.clip(0, side)
    area = (placed[:, 2:] - placed[:, :2]).prod(axis=1)
    left = (inside[:, 2:] - inside[:, :2]).prod(axis=1)
    kept = np.where((labels >= 0) & (left < 0.5 * area), UNSURE, labels)
    return moved, np.where((labels == NOTHING)[:, None], boxes, inside).astype(np.float32), kept
