"""Curved, tapering tubes: the one shape behind tusks, horns, bananas, pipes and bangles."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wildgate_detector.shading import Plane


@dataclass(frozen=True)
class Spine:
    """The middle line of a tube: `points` [m, 2] (x, y in pixels) and `radius` [m] (pixels)."""

    points: NDArray[np.float32]
    radius: NDArray[np.float32]


@dataclass(frozen=True)
class Tube:
    """A drawn tube, planes of [side, side].

    `along` runs 0 to 1 from the first end to the last, `across` -1 to 1 from edge to edge, `alpha` is the
    cover (0 to 1) and `height` the bulge towards the viewer in pixels.
    """

    along: Plane
    across: Plane
    alpha: Plane
    height: Plane


def arc(side: int, turn: float, thickness: NDArray[np.float32], *, s_bend: float = 0.0) -> Spine:
    """A spine that turns by `turn` radians in all and fills a square of `side` pixels.

    `thickness` is the radius along the way as a share of the spine's length; `s_bend` bends the two halves
    against each other.
    """
    count = thickness.size
    t = np.linspace(0.0, 1.0, count)
    heading = turn * (t - 0.5) + s_bend * np.sin(2 * np.pi * t)
    step = np.stack((np.cos(heading), np.sin(heading)), axis=1) / count
    points = np.cumsum(step, axis=0)
    return fitted(side, points.astype(np.float32), thickness.astype(np.float32))


def fitted(side: int, points: NDArray[np.float32], radius: NDArray[np.float32]) -> Spine:
    """Scale and move a spine so that the tube fills a square of `side` pixels, but for 2 pixels around."""
    low = (points - radius[:, None]).min(axis=0)
    high = (points + radius[:, None]).max(axis=0)
    scale = (side - 4) / float((high - low).max())
    centre = (low + high) / 2
    moved = (points - centre) * scale + side / 2
    return Spine(moved.astype(np.float32), (radius * scale).astype(np.float32))


def draw(spine: Spine, side: int) -> Tube:
    """Draw a spine as a union of discs on a square of `side` pixels."""
    x, y = np.meshgrid(np.arange(side, dtype=np.float32) + 0.5, np.arange(side, dtype=np.float32) + 0.5)
    count = spine.radius.size
    nearest = np.zeros((side, side), np.intp)
    best = np.full((side, side), np.inf, np.float32)
    for index in range(count):
        px, py = spine.points[index]
        radius = max(float(spine.radius[index]), 0.5)
        left, right = max(0, int(px - radius - 2)), min(side, int(px + radius + 3))
        top, bottom = max(0, int(py - radius - 2)), min(side, int(py + radius + 3))
        window = (slice(top, bottom), slice(left, right))
        gap = ((x[window] - px) ** 2 + (y[window] - py) ** 2) / (radius * radius)
        closer = gap < best[window]
        best[window][closer] = gap[closer]
        nearest[window][closer] = index
    tangent = np.gradient(spine.points, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-6
    radius_at = np.maximum(spine.radius, 0.5)[nearest]
    off_x, off_y = x - spine.points[nearest, 0], y - spine.points[nearest, 1]
    across = (off_y * tangent[nearest, 0] - off_x * tangent[nearest, 1]) / radius_at
    step = (off_x * tangent[nearest, 0] + off_y * tangent[nearest, 1]) / max(1.0, float(side))
    alpha = np.clip(0.5 + (1 - np.sqrt(np.minimum(best, 4.0))) * radius_at, 0, 1)
    height = np.sqrt(np.clip(1 - np.minimum(across * across, 1.0), 0, 1)) * radius_at
    along = nearest / max(1, count - 1) + step
    return Tube(
        along.astype(np.float32),
        np.clip(across, -1, 1).astype(np.float32),
        alpha.astype(np.float32),
        height.astype(np.float32),
    )
