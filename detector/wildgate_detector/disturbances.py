"""What happens to videos on their way through phones, editors and platforms, done to a clip on disk.

Each disturbance changes every frame in the same way; the clip is decoded and encoded anew.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np

from wildgate_detector.encoding import Encoding, write_video
from wildgate_detector.scenes import write_caption
from wildgate_detector.surfaces import Picture

GOOD_QUALITY: Final = 24
LOW_QUALITY: Final = 38
"""H.264's CRF for a clip at low bit rate: about a quarter of the bits of a usual 26, with blocks to be seen."""
CUT_AWAY: Final = 0.1
"""The crop takes this share of the width and height on every side: a fifth of each, 36 % of the picture."""
BARS: Final = 0.125
"""Black bars: so much of the picture's height (of its width, where it is upright) on either side."""


def _same(picture: Picture, turn: int) -> Picture:
    return picture


def _mirrored(picture: Picture, turn: int) -> Picture:
    return picture[:, ::-1]


def _cropped(picture: Picture, turn: int) -> Picture:
    height, width = picture.shape[:2]
    top, left = round(height * CUT_AWAY), round(width * CUT_AWAY)
    return picture[top : height - top, left : width - left]


def _lettered(picture: Picture, turn: int) -> Picture:
    lettered = picture.copy()
    write_caption(lettered, "WAIT FOR IT! #fyp")  # of odd length: above
    write_caption(lettered, "like & follow @clips")  # of even length: below
    return lettered


def _relit(picture: Picture, turn: int) -> Picture:
    factor = 0.6 if turn % 2 else 1.4
    return np.clip(picture * np.float32(factor), 0, 255).astype(np.uint8)


def _barred(picture: Picture, turn: int) -> Picture:
    height, width = picture.shape[:2]
    rows, columns = (round(height * BARS), 0) if width >= height else (0, round(width * BARS))
    black = (0, 0, 0)
    return cv2.copyMakeBorder(picture, rows, rows, columns, columns, cv2.BORDER_CONSTANT, value=black).astype(np.uint8)


@dataclass(frozen=True)
class Disturbance:
    """A name, what it does to a picture (every other clip may get the other variant), and how it is encoded."""

    name: str
    change: Callable[[Picture, int], Picture]
    quality: int = GOOD_QUALITY

    @property
    def file_word(self) -> str:
        """The name as part of a file name."""
        return "".join(letter if letter.isalnum() else "_" for letter in self.name)


DISTURBANCES: Final = (
    Disturbance("low bit rate", _same, LOW_QUALITY),
    Disturbance("mirrored", _mirrored),
    Disturbance("20 % crop", _cropped),
    Disturbance("overlay text", _lettered),
    Disturbance("brightness", _relit),
    Disturbance("letterbox bars", _barred),
)


def disturb(source: Path, target: Path, disturbance: Disturbance, turn: int) -> None:
    """Write the clip `source`, disturbed, to `target`. An even and an odd `turn` may differ (darker, brighter).

    Raises:
        av.error.FFmpegError: `source` is not a video that can be decoded.
    """
    with av.open(str(source)) as container:
        rate = round(container.streams.video[0].average_rate or 1)

        def pictures() -> Iterator[Picture]:
            for frame in container.decode(video=0):
                changed = disturbance.change(frame.to_ndarray(format="rgb24").astype(np.uint8), turn)
                height, width = changed.shape[:2]
                yield np.ascontiguousarray(changed[: height - height % 2, : width - width % 2])

        write_video(target, pictures(), rate, Encoding(quality=disturbance.quality, keyframe_every=2 * rate))
