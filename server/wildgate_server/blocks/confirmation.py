"""Whether frames that a fingerprint points at really show parts of a confirmed video."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from wildgate_server.blocks.keypoints import Picture, common_points, keypoints_of
from wildgate_server.blocks.original import Original

__all__ = ["CandidateFrame", "Confirmation", "confirm"]

_NEAR_S = 1.5  # between where the fingerprint points at and a frame that was kept


@dataclass(frozen=True, slots=True)
class CandidateFrame:
    """A displayed picture of the video in question, and where in the original its fingerprint points at, in seconds."""

    picture: Picture
    original_s: float


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How many frames show parts of the original, and the most points that one has in common with it."""

    frames: int = 0
    points: int = 0


def confirm(candidates: Iterable[CandidateFrame], original: Original, points: int, enough: int) -> Confirmation:
    """Compares frames, mirrored too, with the original's until `enough` of them have `points` points in common with it.

    Of the original, frames near where a candidate points at are compared, or the nearest one. A pair takes about a
    millisecond.
    """
    frames = most = 0
    for candidate in candidates:
        found = _points(candidate, original, points)
        frames, most = frames + (found >= points), max(most, found)
        if frames == enough:
            break
    return Confirmation(frames, most)


def _points(candidate: CandidateFrame, original: Original, wanted: int) -> int:
    most = 0
    for picture in (candidate.picture, candidate.picture[:, ::-1]):
        keypoints = keypoints_of(picture)
        for at in _near(original, candidate.original_s):
            most = max(most, common_points(keypoints, original.frames[at].keypoints))
            if most >= wanted:
                return most
    return most


def _near(original: Original, time_s: float) -> list[int]:
    if not original.frames:
        return []
    apart = np.abs(np.array([frame.time_s for frame in original.frames]) - time_s)
    return [int(at) for at in np.nonzero(apart <= max(_NEAR_S, float(apart.min())))[0]]
