"""Cut-outs placed in a frame: where they are at a time, painting them, and what stays visible."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wildgate_detector.stamps import Cutout
from wildgate_detector.surfaces import Picture

VISIBLE_ALPHA = 90
"""From this alpha on (0 to 255) a pixel counts as part of the object when its box is taken."""


@dataclass(frozen=True)
class Motion:
    """Change per second: centre in frame widths and heights, size as a factor, angle in degrees."""

    x: float = 0.0
    y: float = 0.0
    growth: float = 1.0
    turn: float = 0.0


@dataclass(frozen=True)
class Layer:
    """A cut-out in the frame.

    `x`, `y` place its centre (share of the frame's width and height at time 0); `size` is its longest side
    as a share of the frame's shorter side; `angle` in degrees; it shows from `start_s` to `end_s`.
    """

    cutout: Cutout
    label: str | None
    x: float
    y: float
    size: float
    angle: float = 0.0
    motion: Motion = Motion()
    start_s: float = 0.0
    end_s: float = float("inf")

    def matrix(self, height: int, width: int, time_s: float) -> NDArray[np.float64]:
        """The affine map [2, 3] from the cut-out's pixels to those of a `height` by `width` frame."""
        h, w = self.cutout.shape[:2]
        scale = self.size * min(height, width) / max(h, w) * self.motion.growth**time_s
        angle = np.deg2rad(self.angle + self.motion.turn * time_s)
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        x = (self.x + self.motion.x * time_s) * width
        y = (self.y + self.motion.y * time_s) * height
        return np.array([[cos, -sin, x - cos * w / 2 + sin * h / 2], [sin, cos, y - sin * w / 2 - cos * h / 2]])


@dataclass(frozen=True)
class Seen:
    """A labelled object in a frame: `box` x1, y1, x2, y2 in pixels, `visible` the share in sight."""

    label: str
    box: tuple[float, float, float, float]
    visible: float


@dataclass
class _Painted:
    label: str
    left: int
    top: int
    alpha: NDArray[np.uint8]
    box: tuple[float, float, float, float]
    whole: float


def paint_layers(canvas: Picture, layers: list[Layer], time_s: float) -> list[Seen]:
    """Paint `layers` onto `canvas` in place, first at the back, and tell what can be seen of the labelled.

    The box is that of the object's part inside the frame, whether or not something covers it.
    """
    painted: list[_Painted] = []
    for layer in layers:
        if not layer.start_s <= time_s <= layer.end_s:
            continue
        placed = _warp(layer, canvas.shape[0], canvas.shape[1], time_s)
        if placed is None:
            continue
        left, top, patch, whole = placed
        height, width = patch.shape[:2]
        region = canvas[top : top + height, left : left + width]
        alpha = patch[..., 3:].astype(np.uint16)
        region[:] = ((region * (255 - alpha) + 127) // 255 + patch[..., :3]).clip(0, 255).astype(np.uint8)
        for earlier in painted:
            _cover(earlier, left, top, patch[..., 3])
        solid = patch[..., 3] >= VISIBLE_ALPHA
        if layer.label is None or not solid.any():
            continue
        rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
        box = (left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1)
        floats = (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
        painted.append(_Painted(layer.label, left, top, patch[..., 3].copy(), floats, whole))
    return [Seen(item.label, item.box, min(1.0, float(item.alpha.sum()) / max(item.whole, 1.0))) for item in painted]


def _warp(layer: Layer, height: int, width: int, time_s: float) -> tuple[int, int, NDArray[np.uint8], float] | None:
    """The layer's part inside the frame, premultiplied, its left and top, and its whole alpha sum."""
    matrix = layer.matrix(height, width, time_s)
    source = layer.cutout
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.7:
        rows, columns = source.shape[:2]
        small = (max(1, round(columns * scale * 1.2)), max(1, round(rows * scale * 1.2)))
        matrix = matrix @ np.array([[columns / small[0], 0, 0], [0, rows / small[1], 0], [0, 0, 1]])
        source = cv2.resize(source, small, interpolation=cv2.INTER_AREA).astype(np.uint8)
    rows, columns = source.shape[:2]
    corners = np.array([(0, 0), (columns, 0), (columns, rows), (0, rows)]) @ matrix[:, :2].T + matrix[:, 2]
    left, top = (max(0, int(v)) for v in np.floor(corners.min(axis=0)))
    right, bottom = np.ceil(corners.max(axis=0)).astype(int)
    right, bottom = min(width, int(right)), min(height, int(bottom))
    if right - left < 2 or bottom - top < 2:
        return None
    shifted = matrix.copy()
    shifted[:, 2] -= (left, top)
    alpha = source[..., 3:].astype(np.uint16)
    premultiplied = np.dstack((source[..., :3] * alpha // 255, alpha)).astype(np.uint8)
    patch = cv2.warpAffine(premultiplied, shifted, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
    whole = float(source[..., 3].sum()) * abs(float(np.linalg.det(matrix[:, :2])))
    return left, top, patch.astype(np.uint8), whole


def _cover(earlier: _Painted, left: int, top: int, alpha: NDArray[np.uint8]) -> None:
    """Take from an earlier object's alpha what a later patch hides."""
    height, width = alpha.shape
    y1, x1 = max(top, earlier.top), max(left, earlier.left)
    y2 = min(top + height, earlier.top + earlier.alpha.shape[0])
    x2 = min(left + width, earlier.left + earlier.alpha.shape[1])
    if y2 <= y1 or x2 <= x1:
        return
    mine = earlier.alpha[y1 - earlier.top : y2 - earlier.top, x1 - earlier.left : x2 - earlier.left]
    over = alpha[y1 - top : y2 - top, x1 - left : x2 - left].astype(np.uint16)
    mine[:] = (mine * (255 - over) // 255).astype(np.uint8)
