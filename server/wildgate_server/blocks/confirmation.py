"""Whether frames that a fingerprint points at really show parts of a confirmed video."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from wildgate_server.blocks.keypoints import Keypoints, Picture, common_points, keypoints_of
from wildgate_server.blocks.original import Original

__all__ = ["CONFIRMING_POINTS", "CandidateFrame", "Confirmation", "confirm"]

CONFIRMING_POINTS = 15
"""Keypoints in common that confirm a frame."""


@dataclass(frozen=True, slots=True)
class CandidateFrame:
    """A frame of the video in question: the displayed picture at `time_s` of a track.

    `original_s` is where in the original the fingerprint points at, in seconds; None where it does not tell.
    """

    track: int
    time_s: float
    picture: Picture
    original_s: float | None = None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The best pair of frames: `points` in common, and whether the candidate is `mirrored`; times are in seconds."""

    points: int = 0
    mirrored: bool = False
    track: int = 0
    time_s: float = 0.0
    original_track: int = 0
    original_s: float = 0.0

    @property
    def confirmed(self) -> bool:
        """Whether it is a part of the original beyond doubt."""
        return self.points >= CONFIRMING_POINTS


def confirm(candidates: Iterable[CandidateFrame], original: Original, near_s: float = 1.5) -> Confirmation:
    """The best agreement between a candidate's frames, mirrored ones too, and the original's.

    Where a candidate says where it points at, frames of the original within `near_s` seconds of there are compared, or
    the nearest one. It is done with the first pair that confirms it. A pair takes about a millisecond.
    """
    best = Confirmation()
    for candidate in candidates:
        frames = _near(original, candidate.original_s, near_s)
        for mirrored in (False, True):
            keypoints = _keypoints(candidate.picture, mirrored)
            for at in frames:
                frame = original.frames[at]
                points = common_points(keypoints, frame.keypoints)
                if points > best.points:
                    best = Confirmation(points, mirrored, candidate.track, candidate.time_s, frame.track, frame.time_s)
                if best.confirmed:
                    return best
    return best


def _keypoints(picture: Picture, mirrored: bool) -> Keypoints:
    return keypoints_of(picture[:, ::-1] if mirrored else picture)


def _near(original: Original, time_s: float | None, near_s: float) -> list[int]:
    if time_s is None or not original.frames:
        return [*range(len(original.frames))]
    apart = np.abs(np.array([frame.time_s for frame in original.frames]) - time_s)
    return [int(at) for at in np.nonzero(apart <= max(near_s, float(apart.min())))[0]]
