"""DETECTIONS read back into the displayed frame, against a computation of its own."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from wildgate_server.errors import BackendUnavailable
from wildgate_server.inference.detections import Detection, Letterbox, read_detections

LABELS = ("bear", "owl", "horn")
SQUARE = [Letterbox.of(100, 100, 100)] * 3

SIZES = [(320, 320), (720, 1280), (1920, 1080), (333, 1000), (641, 361), (640, 321), (5000, 3), (3, 5000), (17, 16)]


def placed(width: int, height: int, side: int) -> tuple[int, int, int, int]:
    """Left, top, width, height of a displayed picture in the square, by exact arithmetic."""
    longer = max(width, height)
    inner = [max(1, round(Fraction(edge * side, longer))) for edge in (width, height)]
    left, top = ((side - edge) // 2 for edge in inner)
    return left, top, inner[0], inner[1]


@pytest.mark.parametrize("side", [320, 321, 640])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_letterbox_is_the_decoder_s(width: int, height: int, side: int) -> None:
    box = Letterbox.of(width, height, side)
    assert (box.left, box.top, box.width, box.height) == placed(width, height, side)
    assert max(box.width, box.height) == side


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_box_goes_into_the_square_and_back(width: int, height: int) -> None:
    letterbox = Letterbox.of(width, height, 320)
    left, top, inner_width, inner_height = placed(width, height, 320)
    rng = np.random.default_rng(5)
    corners = np.sort(rng.random((50, 2, 2)), axis=1)  # box, low and high, x and y: fractions of the displayed frame
    in_square = (corners * [inner_width, inner_height] + [left, top]) / 320
    back = letterbox.to_frame(in_square.reshape(50, 4).astype(np.float32))
    tolerance = 1e-6 * 320 / min(inner_width, inner_height)
    np.testing.assert_allclose(back, corners.reshape(50, 4), atol=tolerance)


def test_a_box_on_the_bars_is_cut_at_the_frame() -> None:
    letterbox = Letterbox.of(200, 100, 100)  # bars of 25 above and below
    boxes = np.array([[-0.2, 0.0, 1.3, 1.0], [0.0, 0.25, 0.5, 0.5]], np.float32)
    np.testing.assert_allclose(letterbox.to_frame(boxes), [[0, 0, 1, 1], [0, 0, 0.5, 0.5]], atol=1e-6)


def test_the_crop_is_the_displayed_frame() -> None:
    letterbox = Letterbox.of(100, 50, 80)  # 80 x 40 with bars of 20
    square = np.full((80, 80, 3), 114, np.uint8)
    square[20:60] = 7
    crop = letterbox.crop(square)
    assert crop.shape == (40, 80, 3)
    assert (crop == 7).all()


def rows(*frames: list[tuple[float, ...]]) -> np.ndarray:
    """DETECTIONS [F, K=4, 6]; unused rows hold rubbish with score 0."""
    tensor = np.full((len(frames), 4, 6), 0.5, np.float32)
    tensor[..., 4], tensor[..., 5] = 0.0, 99.0
    for frame, found in zip(tensor, frames, strict=True):
        for place, values in enumerate(found):
            frame[place] = values
    return tensor


def test_used_rows_become_detections_in_time_order_best_first() -> None:
    tensor = rows(
        [(0.1, 0.2, 0.3, 0.4, 0.5, 1), (0.0, 0.0, 1.0, 1.0, 0.75, 0)],
        [],
        [(0.5, 0.5, 0.75, 1.0, 0.25, 2)],
    )
    found = read_detections(tensor, [0.0, 2.0, 4.5], LABELS, SQUARE)
    assert [(each.label, each.score, each.time_s) for each in found] == [
        ("bear", 0.75, 0.0),
        ("owl", 0.5, 0.0),
        ("horn", 0.25, 4.5),
    ]
    assert found[1].box == pytest.approx((0.1, 0.2, 0.3, 0.4))
    assert found[2] == Detection("horn", 0.25, 4.5, (0.5, 0.5, 0.75, 1.0))
    assert all(type(value) is float for each in found for value in (each.score, *each.box)), "not numpy's"


def test_places_that_repeat_the_last_frame_are_not_read() -> None:
    once = [(0.0, 0.0, 1.0, 1.0, 0.9, 0)]
    assert len(read_detections(rows(once, once, once, once), [0.0, 1.0], LABELS, SQUARE[:2])) == 2


def test_a_frame_that_is_not_sound_shows_nothing_and_each_other_its_own_picture() -> None:
    once = [(0.25, 0.25, 0.75, 0.75, 0.9, 0)]
    letterboxes = [Letterbox.of(200, 100, 100), None, Letterbox.of(100, 200, 100)]
    wide, high = read_detections(rows(once, once, once), [0.0, 1.0, 2.0], LABELS, letterboxes)
    assert (wide.time_s, wide.box) == (0.0, (0.25, 0.0, 0.75, 1.0))
    assert (high.time_s, high.box) == (2.0, (0.0, 0.25, 1.0, 0.75))


def test_equal_scores_keep_the_detector_s_order() -> None:
    tensor = rows([(0, 0, 1, 1, 0.5, 2), (0, 0, 1, 1, 0.5, 0), (0, 0, 1, 1, 0.5, 1)])
    assert [each.label for each in read_detections(tensor, [0.0], LABELS, SQUARE[:1])] == ["horn", "bear", "owl"]


@pytest.mark.parametrize("index", [3, -1, 99])
def test_a_class_without_a_label_is_a_disagreement(index: int) -> None:
    with pytest.raises(ValueError, match=rf"class {index}, the release has 3 labels"):
        read_detections(rows([(0, 0, 1, 1, 0.5, index)]), [0.0], LABELS, SQUARE[:1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", range(6))
def test_values_that_are_no_numbers_are_no_answer(value: float, column: int) -> None:
    """A score that is NaN is not above 0: it would read as nothing seen, and let the video through."""
    tensor = rows([(0, 0, 1, 1, 0.5, 0)], [(0, 0, 1, 1, 0.5, 1)])
    tensor[1, 0, column] = value
    with pytest.raises(BackendUnavailable, match="values that are not finite") as failure:
        read_detections(tensor, [0.0, 1.0], LABELS, SQUARE[:2])
    assert failure.value.retry_after_s
