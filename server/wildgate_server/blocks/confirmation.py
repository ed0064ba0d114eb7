"""Whether frames that a fingerprint points at really show parts of a confirmed video."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wildgate_server.blocks.keypoints import Keypoints, Picture, common_points, keypoints_of
from wildgate_server.blocks.original import Original

__all__ = ["CandidateFrame", "Confirmation", "confirm"]

_OTHERS = 4  # frames of an original in which is looked for what stands still
_STILL_PX, _STILL_BITS = 3.0, 48
_NEAR_S = 1.5  # between where the fingerprint points at and a frame that was kept


@dataclass(frozen=True, slots=True)
class CandidateFrame:
    """A displayed picture of the video in question, and where in the original its fingerprint points at, in seconds."""

    picture: Picture
    original_s: float


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How many frames show parts of the original, and the most points that one has in common with it.

    `changing`: how many do by what changes in the original, and not by what stands still in it from frame to frame, as
    the template of an app does, which others use, too.
    """

    frames: int = 0
    changing: int = 0
    points: int = 0


def confirm(candidates: Iterable[CandidateFrame], original: Original, points: int, enough: int) -> Confirmation:
    """Compares frames, mirrored too, with the original's until `enough` of them have `points` points in common with it.

    Of the original, frames near where a candidate points at are compared, or the nearest one. A pair takes about a
    millisecond.
    """
    moving = _Changing(original)
    frames = changing = most = 0
    for candidate in candidates:
        near = _near(original, candidate.original_s)
        seen = [keypoints_of(picture) for picture in (candidate.picture, candidate.picture[:, ::-1])]
        found = _points(seen, [original.frames[at].keypoints for at in near], points)
        most = max(most, found)
        if found >= points:
            frames += 1
            changing += _points(seen, [moving.of(at) for at in near], points) >= points
        if changing == enough:
            break
    return Confirmation(frames, changing, most)


def _points(seen: Iterable[Keypoints], known: Sequence[Keypoints], wanted: int) -> int:
    most = 0
    for one in seen:
        for other in known:
            most = max(most, common_points(one, other))
            if most >= wanted:
                return most
    return most


class _Changing:
    """The keypoints of each of an original's frames that are not at the same place in others; all where it is one."""

    def __init__(self, original: Original) -> None:
        self._frames = original.frames
        self._known: dict[int, Keypoints] = {}

    def of(self, at: int) -> Keypoints:
        """Of the frame at this place."""
        if at not in self._known:
            one, still = self._frames[at].keypoints, np.zeros(len(self._frames[at].keypoints), np.int64)
            others = [place for place in range(len(self._frames)) if place != at]
            others = others[:: -(-len(others) // _OTHERS) or 1]
            for place in others:
                still += _standing_still(one, self._frames[place].keypoints)
            kept = 2 * still <= len(others) if others else still == 0
            self._known[at] = Keypoints(one.points[kept], one.descriptors[kept])
        return self._known[at]


def _standing_still(one: Keypoints, other: Keypoints) -> npt.NDArray[np.bool_]:
    """Which keypoints there are at the same place in the other frame, too; BOOL by keypoint of the one."""
    apart = np.abs(one.points[:, None] - other.points[None]).max(axis=2)
    bits = np.unpackbits(one.descriptors[:, None] ^ other.descriptors[None], axis=2).sum(axis=2)
    still: npt.NDArray[np.bool_] = ((apart <= _STILL_PX) & (bits <= _STILL_BITS)).any(axis=1)
    return still


def _near(original: Original, time_s: float) -> list[int]:
    if not original.frames:
        return []
    apart = np.abs(np.array([frame.time_s for frame in original.frames]) - time_s)
    return [int(at) for at in np.nonzero(apart <= max(_NEAR_S, float(apart.min())))[0]]
