"""Noise and light: what turns a shape into something that looks solid."""

import cv2
import numpy as np
from numpy.typing import NDArray

from wildgate_detector.stamps import Cutout

Plane = NDArray[np.float32]
"""A [height, width] plane."""
Colour = tuple[float, float, float]
"""RGB, each 0 to 255."""


def noise(rng: np.random.Generator, height: int, width: int, cell: float, *, stretch: float = 1.0) -> Plane:
    """Smooth noise around 0, about -1 to 1, whose grains are `cell` pixels wide.

    `stretch` makes the grains that many times taller than wide.
    """
    rows = max(2, round(height / (cell * stretch)) + 1)
    columns = max(2, round(width / cell) + 1)
    grid = rng.standard_normal((rows, columns), dtype=np.float32) * 0.6
    smooth = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth, -1.5, 1.5).astype(np.float32)


def fractal_noise(rng: np.random.Generator, height: int, width: int, cell: float) -> Plane:
    """Three octaves of `noise`, the coarsest with grains of `cell` pixels."""
    total = np.zeros((height, width), np.float32)
    for octave in range(3):
        total += noise(rng, height, width, max(1.5, cell / 2**octave)) / 2**octave
    return total / np.float32(1.6)


def light_direction(rng: np.random.Generator) -> tuple[float, float, float]:
    """A unit vector towards the light: x right, y down, z towards the viewer; mostly from above."""
    x, y, z = rng.uniform(-0.7, 0.7), rng.uniform(-0.9, 0.3), rng.uniform(0.5, 1.0)
    length = float(np.sqrt(x * x + y * y + z * z))
    return x / length, y / length, z / length


def shade(
    rng: np.random.Generator,
    height: Plane,
    colour: NDArray[np.float32],
    alpha: Plane,
    *,
    gloss: float,
) -> Cutout:
    """Light a height map (pixels towards the viewer) and return it as a cut-out.

    Blinn-Phong: ambient and diffuse light on `colour` ([height, width, 3], 0 to 255), and a highlight of
    strength `gloss` (0 dull, 1 wet). `alpha` is 0 to 1.
    """
    dx = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    dy = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    length = 1.0 / np.sqrt(dx * dx + dy * dy + 1.0)
    lx, ly, lz = light_direction(rng)
    diffuse = np.clip((lz - dx * lx - dy * ly) * length, 0.0, 1.0)
    half = np.array((lx, ly, lz + 1.0)) / np.linalg.norm((lx, ly, lz + 1.0))
    highlight = np.clip((half[2] - dx * half[0] - dy * half[1]) * length, 0.0, 1.0)
    ambient = rng.uniform(0.35, 0.6)
    light = ambient + (1.05 - ambient) * diffuse
    rgb = colour * light[..., None] + (gloss * 255.0) * (highlight ** rng.uniform(12, 40))[..., None]
    return to_cutout(rgb, alpha)


def to_cutout(rgb: NDArray[np.float32], alpha: Plane) -> Cutout:
    """Join colour (0 to 255) and alpha (0 to 1) planes into an RGBA cut-out of the same size."""
    rgba = np.dstack((rgb, alpha * 255.0))
    return np.clip(rgba, 0, 255).astype(np.uint8)


def jittered(rng: np.random.Generator, colour: Colour, spread: float) -> NDArray[np.float32]:
    """`colour` moved by up to `spread`: brightness for all channels, half as much for each."""
    moved = np.array(colour) + rng.uniform(-spread, spread) + rng.uniform(-spread / 2, spread / 2, 3)
    return np.clip(moved, 5, 255).astype(np.float32)


def mixed(first: NDArray[np.float32], second: NDArray[np.float32], share: Plane) -> NDArray[np.float32]:
    """Blend two colours ([3] or [h, w, 3]); `share` (0 to 1) is the second's part at each pixel."""
    part = np.clip(share, 0, 1).astype(np.float32)
    if first.ndim == 1 and second.ndim == 1:
        return cv2.transform(part, np.column_stack((second - first, first))).astype(np.float32)
    return (first + (second - first) * part[..., None]).astype(np.float32)
