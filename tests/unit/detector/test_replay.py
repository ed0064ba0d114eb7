"""Pictures that come again: which, how often, and that places belong to pictures."""

import numpy as np
import pytest

from wildgate_detector.labels import NOTHING
from wildgate_detector.material import MOST_OBJECTS, Item
from wildgate_detector.replay import Replay


def picture(shade: int) -> Item:
    return (
        np.full((8, 8, 3), shade, np.uint8),
        np.zeros((MOST_OBJECTS, 4), np.float32),
        np.full(MOST_OBJECTS, NOTHING, np.int64),
    )


def shades(items: list[Item]) -> list[int]:
    return [int(item[0][0, 0, 0]) for item in items]


def filled(losses: list[float], room: int | None = None) -> Replay:
    replay = Replay(room or len(losses), 8)
    for shade, loss in enumerate(losses):
        replay.keep(picture(shade), loss)
    return replay


def test_the_oldest_picture_goes_when_there_is_no_room() -> None:
    replay = filled([1.0] * 5, room=3)
    _, items = replay.draw(np.random.default_rng(0), 3)
    assert replay.filled == 3
    assert sorted(shades(items)) == [2, 3, 4]


def test_no_picture_comes_twice_at_once() -> None:
    replay = filled([100.0, 0.0, 0.0, 0.0])
    _, items = replay.draw(np.random.default_rng(0), 4)
    assert sorted(shades(items)) == [0, 1, 2, 3]


def test_hard_pictures_come_more_often_until_they_are_learned() -> None:
    replay, rng = filled([1.0] * 10 + [30.0]), np.random.default_rng(0)
    before = sum(10 in shades(replay.draw(rng, 1)[1]) for _ in range(500))
    replay.judge(np.array([10]), np.array([0.01]))
    after = sum(10 in shades(replay.draw(rng, 1)[1]) for _ in range(500))
    assert before > 150
    assert after < 50


def test_the_places_that_come_with_pictures_are_theirs() -> None:
    replay, rng = filled([1.0] * 6), np.random.default_rng(1)
    places, items = replay.draw(rng, 3)
    assert places.tolist() == shades(items)


def test_more_than_is_kept_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="3 pictures are wanted, 2 are kept"):
        filled([1.0, 1.0], room=9).draw(np.random.default_rng(0), 3)


def test_a_replay_has_room() -> None:
    with pytest.raises(ValueError, match="room"):
        Replay(0, 8)
