"""What two pictures have in common, and what is kept of a confirmed video to find it by."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from wildgate_server.blocks.confirmation import CandidateFrame, confirm
from wildgate_server.blocks.keypoints import Keypoints, keypoints_of
from wildgate_server.blocks.original import (
    MAX_ORIGINAL_BYTES,
    MAX_ORIGINAL_FRAMES,
    BrokenOriginal,
    Original,
    OriginalFrame,
)

Picture = npt.NDArray[np.uint8]


def picture(seed: int) -> Picture:
    """Overlapping rectangles of all sizes and colours, 320x180."""
    draw, shown = np.random.default_rng(seed), np.full((180, 320, 3), 128, np.uint8)
    for _ in range(60):
        left, top, width, height = draw.integers(0, (300, 160, 60, 40))
        shown[top : top + height + 4, left : left + width + 4] = draw.integers(0, 256, 3)
    return shown


def original(*seeds: int) -> Original:
    return Original.of(OriginalFrame(0, float(seed), keypoints_of(picture(seed))) for seed in seeds)


def disguised(shown: Picture) -> Picture:
    """Cropped, smaller, on a background of its own, with a caption."""
    inner = cv2.resize(shown[10:-10, 16:-16], (200, 112), interpolation=cv2.INTER_AREA)
    framed = np.random.default_rng(1).integers(0, 40, (180, 320, 3), np.uint8)
    framed[30:142, 60:260] = inner
    cv2.putText(framed, "FOR SALE", (70, 130), 0, 1.0, (255, 255, 255), 2)
    return framed


def confirmed(candidates: list[Picture], known: Original, at_s: float, enough: int = 1) -> int:
    return confirm([CandidateFrame(shown, at_s) for shown in candidates], known, 15, enough).frames


@pytest.mark.parametrize("mirrored", [False, True])
def test_disguised_frames_are_confirmed_as_many_as_are_asked_for(mirrored: bool) -> None:
    shown = [disguised(picture(3)[:, ::-1] if mirrored else picture(3))] * 3
    for enough in (1, 2, 4):
        assert confirmed([picture(99), *shown], original(1, 2, 3), 2.0, enough) == min(enough, 3)


def test_other_pictures_are_not_confirmed() -> None:
    assert not confirmed([picture(seed) for seed in range(100, 120)], original(*range(10)), 5.0)


def templated(seed: int) -> Picture:
    """A picture within another one that is the same for all of them."""
    shown = picture(50).copy()
    shown[40:140, 80:240] = picture(seed)[40:140, 80:240]
    return shown


def test_what_stands_still_in_the_original_is_no_proof_of_it() -> None:
    known = Original.of(OriginalFrame(0, float(seed), keypoints_of(templated(seed))) for seed in range(5))
    copies = confirm([CandidateFrame(templated(seed), float(seed)) for seed in (1, 2)], known, 15, 2)
    others = confirm([CandidateFrame(templated(seed), 1.0) for seed in (30, 31)], known, 15, 2)
    assert (copies.frames, copies.changing) == (2, 2)
    assert (others.frames, others.changing) == (2, 0)


def test_only_frames_near_where_the_index_points_at_are_compared() -> None:
    known = original(1, 2, 8)
    assert confirmed([picture(8)], known, 7.0)
    assert not confirmed([picture(8)], known, 1.0)
    assert confirmed([picture(8)], known, 500.0), "the nearest one is, however far"


@pytest.mark.parametrize(
    "shown", [np.zeros((180, 320, 3), np.uint8), picture(0)[:4], picture(0)[:, :1], np.zeros((0, 0, 3), np.uint8)]
)
def test_a_picture_with_nothing_in_it_confirms_nothing(shown: Picture) -> None:
    assert not confirmed([shown], original(0), 0.0)
    assert not confirmed([picture(0)], Original.of([OriginalFrame(0, 0.0, keypoints_of(shown))]), 0.0)


def test_an_original_comes_back_from_its_bytes() -> None:
    before = original(4, 5)
    after = Original.decode(before.encode())
    for one, other in zip(before.frames, after.frames, strict=True):
        assert (one.track, one.time_s) == (other.track, other.time_s)
        np.testing.assert_array_equal(one.keypoints.points, other.keypoints.points)
        np.testing.assert_array_equal(one.keypoints.descriptors, other.keypoints.descriptors)


def test_a_long_video_keeps_frames_from_all_of_it_within_its_size() -> None:
    most = Keypoints(np.zeros((256, 2), np.float32), np.zeros((256, 32), np.uint8))
    kept = Original.of(OriginalFrame(0, float(at), most) for at in range(1000))
    assert len(kept.frames) == MAX_ORIGINAL_FRAMES
    assert kept.frames[-1].time_s > 950
    assert len(kept.encode()) <= MAX_ORIGINAL_BYTES


WHOLE = original(1).encode()
NOT_A_NUMBER = Original.of([OriginalFrame(0, float("nan"), keypoints_of(picture(1)))]).encode()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "cut short"),
        (WHOLE[:-1], "cut short"),
        (WHOLE[:-40], "keypoints and says"),
        (b"nope" + WHOLE[4:], "version"),
        (WHOLE[:4] + b"\x02" + WHOLE[5:], "version 2"),
        (WHOLE[:6] + b"\xff\xff" + WHOLE[8:], "cut short"),
        (bytes(MAX_ORIGINAL_BYTES + 1), "more than"),
        (NOT_A_NUMBER, "no numbers"),
    ],
)
def test_what_is_no_original_is_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(BrokenOriginal, match=complaint):
        Original.decode(content)
