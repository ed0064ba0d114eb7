"""Splits the frames of videos into a calibration set and a held-out set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from wildgate_build.errors import FramesError
from wildgate_build.frames.sampled import FrameSource, VideoFile

__all__ = ["LEAST_FRAMES", "CalibrationSplit", "evenly", "split_frames"]

LEAST_FRAMES: Final = 16

_SPARE: Final = 2  # Short videos give less than their part; the others make up for it.
_SEED: Final = 0

Item = TypeVar("Item")
Frame = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class CalibrationSplit:
    """Frames uint8 [n, S, S, 3]; the held-out ones are of other videos, or `same_videos` where there are too few."""

    calibration: npt.NDArray[np.uint8]
    held_out: npt.NDArray[np.uint8]
    same_videos: bool = False


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` of the items, from first to last at even distances."""
    if len(items) <= most:
        return list(items)
    return [items[round(place)] for place in np.linspace(0, len(items) - 1, most)]


def split_frames(source: FrameSource, videos: Sequence[VideoFile], most: int) -> CalibrationSplit:
    """At most `most` frames for each set: some of the videos calibrate, the rest are held out.

    Videos are drawn at random (always with the same seed), and each goes to the set that has fewer frames by then,
    longest first: an order such as harmless, harmful, harmless must not sort the sets. Where whole videos do not make
    two sets of LEAST_FRAMES, every other frame is held out: weaker evidence, and `same_videos` says so.

    Raises FramesError.
    """
    drawn = np.random.default_rng(_SEED).permutation(len(videos))
    chosen = [videos[at] for at in drawn[: 2 * most]]
    quota = ceil(2 * most / len(chosen)) * _SPARE
    seen = [evenly(list(video.frames), quota) for video in source.look_at_all(chosen)]
    calibration, held_out = _shared_out(seen)
    same_videos = min(len(calibration), len(held_out)) < LEAST_FRAMES
    if same_videos:
        frames = [frame for video in seen for frame in video]
        calibration, held_out = frames[::2], frames[1::2]
        for name, side in (("calibrate", calibration), ("compare", held_out)):
            if len(side) < LEAST_FRAMES:
                raise FramesError(
                    f"{len(side)} frames to {name} on, at least {LEAST_FRAMES} are needed; give more or longer videos"
                )
    return CalibrationSplit(np.stack(evenly(calibration, most)), np.stack(evenly(held_out, most)), same_videos)


def _shared_out(videos: Sequence[list[Frame]]) -> tuple[list[Frame], list[Frame]]:
    """Deals whole videos to the side with fewer frames, longest first, so that the sides come out even."""
    sides: tuple[list[Frame], list[Frame]] = ([], [])
    for frames in sorted(videos, key=len, reverse=True):
        min(sides, key=len).extend(frames)
    return sides
