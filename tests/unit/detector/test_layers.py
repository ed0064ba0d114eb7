"""Placing cut-outs: boxes, what is visible, what covers what."""

import numpy as np
import pytest

from wildgate_detector.layers import Layer, Motion, paint_layers


def square(colour: tuple[int, int, int] = (200, 30, 30), side: int = 40) -> np.ndarray:
    return np.full((side, side, 4), (*colour, 255), np.uint8)


def canvas() -> np.ndarray:
    return np.zeros((100, 200, 3), np.uint8)


def test_the_box_fits_what_was_painted() -> None:
    picture = canvas()
    (seen,) = paint_layers(picture, [Layer(square(), "thing", 0.5, 0.5, 0.4)], 0.0)
    painted = np.argwhere(picture[..., 0] > 70)
    top, left = painted.min(axis=0)
    bottom, right = painted.max(axis=0) + 1
    assert seen.box == pytest.approx((left, top, right, bottom), abs=1)
    assert seen.box == pytest.approx((80, 30, 120, 70), abs=1)
    assert seen.visible == pytest.approx(1, abs=0.03)


def test_half_outside_the_frame_is_half_visible() -> None:
    (seen,) = paint_layers(canvas(), [Layer(square(), "thing", 0.0, 0.5, 0.4)], 0.0)
    assert seen.box[0] == 0
    assert seen.visible == pytest.approx(0.5, abs=0.04)


def test_a_later_layer_hides_an_earlier_one() -> None:
    below = Layer(square(), "below", 0.5, 0.5, 0.4)
    above = Layer(square((0, 200, 0)), "above", 0.6, 0.5, 0.4)
    seen = {item.label: item.visible for item in paint_layers(canvas(), [below, above], 0.0)}
    assert seen["below"] == pytest.approx(0.5, abs=0.05)
    assert seen["above"] == pytest.approx(1, abs=0.03)


def test_what_is_outside_or_not_yet_there_is_not_seen() -> None:
    away = Layer(square(), "away", 3.0, 0.5, 0.4)
    late = Layer(square(), "late", 0.5, 0.5, 0.4, start_s=2.0)
    assert paint_layers(canvas(), [away, late], 0.0) == []
    assert [item.label for item in paint_layers(canvas(), [away, late], 2.5)] == ["late"]


def test_motion_moves_and_grows() -> None:
    layer = Layer(square(), "thing", 0.3, 0.5, 0.2, motion=Motion(x=0.1, growth=1.5))
    (start,) = paint_layers(canvas(), [layer], 0.0)
    (later,) = paint_layers(canvas(), [layer], 2.0)
    assert (later.box[0] + later.box[2]) / 2 - (start.box[0] + start.box[2]) / 2 == pytest.approx(40, abs=1)
    assert (later.box[2] - later.box[0]) / (start.box[2] - start.box[0]) == pytest.approx(2.25, abs=0.1)


def test_unlabelled_layers_are_painted_but_not_reported() -> None:
    picture = canvas()
    assert paint_layers(picture, [Layer(square(), None, 0.5, 0.5, 0.4)], 0.0) == []
    assert picture.any()
