"""The detector's output, read back into the displayed frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wildgate_server.errors import BackendUnavailable

__all__ = ["Detection", "Letterbox", "read_detections"]


@dataclass(frozen=True, slots=True)
class Detection:
    """A label seen at `time_s`: score 0 to 1, box (x1, y1, x2, y2) as fractions of the displayed frame of `track`."""

    label: str
    score: float
    time_s: float
    box: tuple[float, float, float, float]
    track: int = 0


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where the displayed frame lies in the detector's square, in pixels.

    The counterpart of the decoders' letterboxing: scaled by S / longer side, each side rounded and at least 1 pixel,
    centred with the smaller bar first.
    """

    left: int
    top: int
    width: int
    height: int
    side: int

    @classmethod
    def of(cls, width: int, height: int, side: int) -> Letterbox:
        """For a picture displayed at `width` x `height`, in a square of `side` pixels."""
        scale = side / max(width, height)
        inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
        return cls((side - inner_width) // 2, (side - inner_height) // 2, inner_width, inner_height, side)

    def to_frame(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Boxes [..., 4] from fractions of the square to fractions of the displayed frame, cut at its edges."""
        offset = np.array([self.left, self.top, self.left, self.top], np.float32)
        extent = np.array([self.width, self.height, self.width, self.height], np.float32)
        return np.clip((boxes * np.float32(self.side) - offset) / extent, 0.0, 1.0)

    def crop(self, frame: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The displayed frame's part of a letterboxed frame [S, S, 3]."""
        return frame[self.top : self.top + self.height, self.left : self.left + self.width]


def read_detections(
    rows: npt.NDArray[np.float32],
    times_s: Sequence[float],
    labels: Sequence[str],
    letterboxes: Sequence[Letterbox | None],
    track: int = 0,
) -> list[Detection]:
    """Detections of one window of `track` from DETECTIONS [F, K, 6], in time order, highest score first within a frame.

    Only the first `len(times_s)` of the F places are read, the others repeat the last frame, and of these only what has
    a letterbox: without one no picture was seen there. A score of 0 is unused.

    Raises BackendUnavailable where a value is not finite, which would otherwise read as nothing seen, and ValueError
    for a class index without a label: detector and manifest disagree.
    """
    if not np.isfinite(rows).all():
        raise BackendUnavailable("the detector returned values that are not finite", retry_after_s=1.0)
    rows = rows[: len(times_s)]
    seen = np.array([letterbox is not None for letterbox in letterboxes], bool)
    places, slots = np.nonzero((rows[..., 4] > 0) & seen[:, None])
    used = rows[places, slots]
    order = np.lexsort((-used[:, 4], places))  # stable: equal scores stay in the detector's order
    places, used = places[order], used[order]
    classes = used[:, 5].astype(np.int64)
    if (unknown := classes[(classes < 0) | (classes >= len(labels))]).size:
        raise ValueError(f"the detector returned class {unknown[0]}, the release has {len(labels)} labels")
    found = []
    for place, box, score, index in zip(
        places.tolist(), used[:, :4], used[:, 4].tolist(), classes.tolist(), strict=True
    ):
        if letterbox := letterboxes[place]:
            x1, y1, x2, y2 = letterbox.to_frame(box).tolist()
            found.append(Detection(labels[index], score, times_s[place], (x1, y1, x2, y2), track))
    return found
