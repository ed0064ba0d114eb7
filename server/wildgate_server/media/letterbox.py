"""Where a displayed picture lies in the square that models take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Letterbox"]


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
