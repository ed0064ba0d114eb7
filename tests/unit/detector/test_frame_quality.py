"""Average precision, against values worked out by hand."""

import numpy as np
import pytest

from wildgate_detector.frame_quality import AveragePrecision, KnownFrame, known_frames, mean_precision
from wildgate_detector.labels import LABELS
from wildgate_detector.layers import Seen
from wildgate_detector.props import PropRoom
from wildgate_detector.stamps import Stamps

SIDE = 100
FIRST, SECOND = LABELS[0], LABELS[1]
BOX = (10.0, 10.0, 50.0, 50.0)


def frame(*seen: Seen) -> KnownFrame:
    return KnownFrame(np.zeros((SIDE, SIDE, 3), np.uint8), seen)


def rows(*found: tuple[tuple[float, float, float, float], float, int]) -> np.ndarray:
    table = np.zeros((16, 6), np.float32)
    for at, (box, score, label) in enumerate(found):
        table[at] = (*(value / SIDE for value in box), score, label)
    return table


def precision_of(*frames: tuple[KnownFrame, np.ndarray]) -> dict[str, float]:
    collected = AveragePrecision()
    for known, found in frames:
        collected.add(known, found)
    return collected.by_label()


def test_a_perfect_detector_has_1_and_labels_not_shown_have_none() -> None:
    result = precision_of((frame(Seen(FIRST, BOX, 1.0)), rows((BOX, 0.9, 0))))
    assert result[FIRST] == pytest.approx(1.0)
    assert np.isnan(result[SECOND])
    assert mean_precision(result) == pytest.approx(1.0)


def test_a_better_scored_mistake_halves_it() -> None:
    far = (60.0, 60.0, 90.0, 90.0)
    result = precision_of((frame(Seen(FIRST, BOX, 1.0)), rows((far, 0.9, 0), (BOX, 0.8, 0))))
    assert result[FIRST] == pytest.approx(0.5)


def test_one_of_two_found_gives_about_a_half() -> None:
    shown = frame(Seen(FIRST, BOX, 1.0))
    result = precision_of((shown, rows((BOX, 0.9, 0))), (shown, rows()))
    assert result[FIRST] == pytest.approx(51 / 101)  # the recall points 0.00 to 0.50


@pytest.mark.parametrize(("shift", "found"), [(13.0, 1.0), (14.0, 0.0)])
def test_a_box_must_overlap_by_half(shift: float, found: float) -> None:
    moved = (BOX[0] + shift, BOX[1], BOX[2] + shift, BOX[3])  # IoU (40 - shift) / (40 + shift)
    result = precision_of((frame(Seen(FIRST, BOX, 1.0)), rows((moved, 0.9, 0))))
    assert result[FIRST] == pytest.approx(found)


def test_a_hidden_object_is_neither_wanted_nor_held_against_the_detector() -> None:
    hidden = Seen(FIRST, (60.0, 60.0, 90.0, 90.0), 0.2)
    shown = frame(Seen(FIRST, BOX, 1.0), hidden)
    for found in (rows((BOX, 0.8, 0)), rows((hidden.box, 0.9, 0), (BOX, 0.8, 0))):
        assert precision_of((shown, found))[FIRST] == pytest.approx(1.0)


def test_without_any_label_there_is_no_mean() -> None:
    with pytest.raises(ValueError, match="no label was shown"):
        mean_precision({FIRST: float("nan")})


def test_known_frames_have_their_boxes_in_the_letterboxed_square(stamps: Stamps) -> None:
    frames = list(known_frames(PropRoom(stamps, 96), 6, 3, side=160))
    assert {known.square.shape for known in frames} == {(160, 160, 3)}
    wide = frames[0]
    assert (wide.square[:30] == 114).all()
    for known in frames:
        for item in known.seen:
            assert 0 <= item.box[0] < item.box[2] <= 160
            assert 0 <= item.box[1] < item.box[3] <= 160
    assert all(item.box[1] >= 35 - 1 for item in wide.seen)
