"""Training examples and the ways they are shown again."""

import numpy as np
import pytest

from wildgate_detector.labels import LABELS, NOTHING, UNSURE
from wildgate_detector.material import MOST_OBJECTS, Item, retouched, training_item
from wildgate_detector.props import PropRoom
from wildgate_detector.seeds import Purpose, stream
from wildgate_detector.stamps import Stamps

SIDE = 96


def marked(x1: int, y1: int, x2: int, y2: int) -> Item:
    """A grey picture with a red object."""
    square = np.full((SIDE, SIDE, 3), 114, np.uint8)
    square[y1:y2, x1:x2] = (230, 10, 10)
    boxes = np.zeros((MOST_OBJECTS, 4), np.float32)
    boxes[0] = (x1, y1, x2, y2)
    labels = np.full(MOST_OBJECTS, NOTHING, np.int64)
    labels[0] = 3
    return square, boxes, labels


def box_of_red(square: np.ndarray) -> tuple[float, float, float, float]:
    red = (square[..., 0].astype(int) - square[..., 1]) > 60
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def test_the_box_follows_the_object_through_every_retouch() -> None:
    item = marked(30, 36, 62, 56)
    seen = set()
    for seed in range(60):
        square, boxes, labels = retouched(np.random.default_rng(seed), item)
        assert square.shape == (SIDE, SIDE, 3)
        assert labels[0] == 3
        assert boxes[0] == pytest.approx(box_of_red(square), abs=3.0)
        seen.add(tuple(boxes[0].round().tolist()))
    assert len(seen) > 30


def test_the_kept_picture_itself_is_not_changed() -> None:
    item = marked(30, 36, 62, 56)
    before = [part.copy() for part in item]
    for seed in range(20):
        retouched(np.random.default_rng(seed), item)
    for part, old in zip(item, before, strict=True):
        np.testing.assert_array_equal(part, old)


def test_an_object_moved_out_of_sight_is_not_asked_for() -> None:
    item = marked(84, 40, 96, 60)
    kept = {int(retouched(np.random.default_rng(seed), item)[2][0]) for seed in range(200)}
    assert kept == {3, UNSURE}


def test_padding_stays_padding() -> None:
    for seed in range(40):
        labels = retouched(np.random.default_rng(seed), marked(30, 36, 62, 56))[2]
        assert (labels[1:] == NOTHING).all()


@pytest.mark.parametrize("crowded", [False, True])
def test_a_composed_example_keeps_its_boxes_inside(stamps: Stamps, crowded: bool) -> None:
    room = PropRoom(stamps, 64, kept=4)
    asked = 0
    for index in range(25):
        square, boxes, labels = training_item(stream(Purpose.TRAIN, 1, index), room, SIDE, crowded=crowded)
        assert square.shape == (SIDE, SIDE, 3)
        known = labels != NOTHING
        assert set(labels[known].tolist()) <= {UNSURE, *range(len(LABELS))}
        assert (boxes[known] >= -0.5).all()
        assert (boxes[known] <= SIDE + 0.5).all()
        assert (boxes[known, 2:] > boxes[known, :2]).all()
        asked += int((labels >= 0).sum())
    assert asked >= (25 if crowded else 10)
