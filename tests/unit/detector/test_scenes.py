"""Scenes and clips from seeds."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from wildgate_detector.clips import ClipFormat, compose_clip
from wildgate_detector.props import CONFUSING, PropRoom
from wildgate_detector.scenes import compose, letterboxed
from wildgate_detector.seeds import Purpose, stream
from wildgate_detector.stamps import Stamps, StampsMissingError, load_stamps


def test_a_seed_gives_the_same_scene_again(stamps: Stamps) -> None:
    def drawn() -> tuple[np.ndarray, list[object]]:
        rng = stream(Purpose.TRAIN, 3, 14)
        picture, seen = compose(rng, PropRoom(stamps, 96), 90, 160).draw(0.0, rng)
        return picture, list(seen)

    (picture, seen), (again, seen_again) = drawn(), drawn()
    np.testing.assert_array_equal(picture, again)
    assert seen == seen_again


def test_boxes_lie_in_the_frame(stamps: Stamps) -> None:
    room = PropRoom(stamps, 96, kept=2)
    for index in range(20):
        rng = stream(Purpose.TRAIN, 0, index)
        picture, seen = compose(rng, room, 90, 160).draw(0.0, rng)
        assert picture.shape == (90, 160, 3)
        for item in seen:
            x1, y1, x2, y2 = item.box
            assert 0 <= x1 < x2 <= 160
            assert 0 <= y1 < y2 <= 90
            assert 0 <= item.visible <= 1


def test_a_photograph_without_labels_is_shown_nearly_as_it_is(stamps: Stamps) -> None:
    room, photograph = PropRoom(stamps, 96, kept=2), np.full((200, 300, 3), (10, 200, 30), np.uint8)
    scenes = [compose(stream(Purpose.TRAIN, 1, index), room, 90, 160, photographs=[photograph]) for index in range(60)]
    before = [scene for scene in scenes if (scene.backdrop == photograph[0, 0]).all()]
    plain = [scene for scene in before if not any(layer.label for layer in scene.layers)]
    assert 15 < len(before) < 45
    assert plain
    assert max(len(scene.layers) for scene in plain) <= 1


def test_what_is_hard_to_tell_comes_up_more_often_where_asked_for(stamps: Stamps) -> None:
    room, rng = PropRoom(stamps, 96), np.random.default_rng(5)
    even = Counter(room.any_lookalike(rng) for _ in range(1000))
    confusing = Counter(room.any_lookalike(rng, confusing=True) for _ in range(1000))
    assert set(even) == set(confusing) >= set(CONFUSING)
    assert even["cattle_horn"] < 2 * even["candle"]
    assert confusing["cattle_horn"] > 3 * confusing["candle"]


def test_purposes_never_share_a_stream() -> None:
    firsts = {
        tuple(stream(purpose, seed, index).integers(0, 2**62, 2))
        for purpose in Purpose
        for seed in range(20)
        for index in range(20)
    }
    assert len(firsts) == len(Purpose) * 400


@pytest.mark.parametrize(("seed", "index"), [(-1, 0), (0, -1)])
def test_a_negative_seed_is_refused(seed: int, index: int) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        stream(Purpose.TRAIN, seed, index)


def test_letterbox_keeps_the_shape_and_adds_grey_bars() -> None:
    square, scale, left, top = letterboxed(np.full((180, 360, 3), 7, np.uint8), 320)
    assert square.shape == (320, 320, 3)
    assert (scale, left, top) == (pytest.approx(320 / 360), 0, 80)
    assert (square[:80] == 114).all()
    assert (square[80:240] == 7).all()
    assert (square[240:] == 114).all()


def test_a_clip_shows_its_labels_for_half_of_its_time(stamps: Stamps) -> None:
    clip = compose_clip(stream(Purpose.EVALUATE, 5, 0), PropRoom(stamps, 96), ["live_owl"])
    spans = clip.truth()["live_owl"]
    assert sum(end - start for start, end in spans) >= clip.form.duration_s * 0.4


def test_a_clip_without_labels_shows_none(stamps: Stamps) -> None:
    clip = compose_clip(stream(Purpose.EVALUATE, 5, 1), PropRoom(stamps, 96), [])
    assert clip.truth() == {}


def test_a_clip_has_the_frames_its_format_says() -> None:
    assert ClipFormat(64, 36, 12, 2.5).frames == 30


def test_missing_stamps_are_an_error_that_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(StampsMissingError, match="apt-get install tuxpaint-stamps-default"):
        load_stamps(tmp_path)
