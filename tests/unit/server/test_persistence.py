"""For how long something is shown: by cases, and by what must hold of any frames."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from wildgate_server.persistence import ShownFrame, seconds_seen


@pytest.mark.parametrize(
    ("times_s", "seen", "seconds"),
    [
        ((0.0, 2.0, 4.0), "...", 0.0),
        ((0.0, 2.0, 4.0), "x..", 0.1),
        ((0.0, 2.0, 4.0), "xx.", 2.1),
        ((0.0, 2.0, 4.0), "x.x", 0.2),
        ((0.0, 0.2, 0.4), "x.x", 0.5),
        ((0.0, 0.0, 0.2), "xx.", 0.1),
    ],
)
def test_neighbours_and_what_flickers_vouch_for_the_time_between(
    times_s: tuple[float, ...], seen: str, seconds: float
) -> None:
    frames = [ShownFrame(time_s, 0.1) for time_s in times_s]
    assert seconds_seen(frames, [here == "x" for here in seen]) == pytest.approx(seconds)


def looks(number: int) -> tuple[list[ShownFrame], list[bool]]:
    """Coded frames of any lengths, some of them looked at, and which of these show it."""
    chance = random.Random(number)
    frames, time_s = [], 0.0
    for _ in range(chance.randint(1, 30)):
        duration_s = chance.choice([0.0, 0.04, 0.2, chance.uniform(0, 5)])
        if chance.random() < 0.5:
            frames.append(ShownFrame(time_s, duration_s))
        time_s += duration_s
    return frames, [chance.random() < 0.5 for _ in frames]


@pytest.mark.parametrize("number", range(100))
def test_no_more_is_vouched_for_than_there_is_and_more_seen_is_never_less(number: int) -> None:
    frames, seen = looks(number)
    seconds = seconds_seen(frames, seen)
    between_s = sum(max(after.time_s - before.time_s - before.shown_s, 0) for before, after in pairwise(frames))
    assert 0 <= seconds <= sum(frame.shown_s for frame in frames) + between_s + 1e-6
    for at in range(len(seen)):
        assert seconds_seen(frames, [*seen[:at], True, *seen[at + 1 :]]) >= seconds - 1e-6
