"""Hides and cloths laid flat: the striped pelt, and what is merely patterned like one."""

import cv2
import numpy as np
from numpy.typing import NDArray

from wildgate_detector.shading import (
    Plane,
    fractal_noise,
    jittered,
    mixed,
    noise,
    to_cutout,
)
from wildgate_detector.stamps import Cutout, trim


def hide_outline(rng: np.random.Generator, side: int) -> Plane:
    """The cover (0 to 1) of a flayed hide: trunk, four legs, neck or head, tail; spine upright."""
    mask = np.zeros((side, side), np.uint8)
    middle, wide = side / 2, side * rng.uniform(0.14, 0.2)
    top, bottom = side * rng.uniform(0.2, 0.26), side * rng.uniform(0.68, 0.76)
    centre = (int(middle), int((top + bottom) / 2))
    cv2.ellipse(mask, centre, (int(wide * 1.1), int((bottom - top) / 2)), 0, 0, 360, (255,), -1)
    cv2.rectangle(
        mask, (int(middle - wide), int(top + side * 0.06)), (int(middle + wide), int(bottom - side * 0.06)), 255, -1
    )
    limb = side * rng.uniform(0.05, 0.075)
    for level, lift in ((top + side * 0.1, -1), (bottom - side * 0.1, 1)):
        for hand in (-1, 1):
            reach = rng.uniform(0.32, 0.46) * side
            foot = (middle + hand * reach, level + lift * rng.uniform(0.02, 0.16) * side)
            _limb(mask, (middle, level), foot, limb)
    _limb(mask, (middle, top + side * 0.05), (middle, side * rng.uniform(0.06, 0.12)), side * 0.075)
    if rng.random() < 0.8:
        sway = middle + rng.uniform(-0.1, 0.1) * side
        _limb(mask, (middle, bottom - side * 0.05), (sway, side * rng.uniform(0.86, 0.96)), side * 0.026)
    soft = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), side * 0.014)
    ragged = soft + 0.16 * fractal_noise(rng, side, side, side / 10)
    return np.clip((ragged - 0.45) * side / 14, 0, 1).astype(np.float32)


def _limb(mask: NDArray[np.uint8], start: tuple[float, float], end: tuple[float, float], radius: float) -> None:
    first, last = (int(start[0]), int(start[1])), (int(end[0]), int(end[1]))
    cv2.line(mask, first, last, (255,), max(1, int(radius * 2)))
    cv2.circle(mask, last, max(1, int(radius)), (255,), -1)


def tiger_stripes(rng: np.random.Generator, side: int) -> Plane:
    """Irregular stripes across an upright spine, mirrored left to right, 0 (fur) to 1 (stripe)."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / np.float32(side) * 2 - 1
    warp = fractal_noise(rng, side, side, side / 4)
    warp = 0.6 * warp + 0.4 * warp[:, ::-1]
    bands = rng.uniform(9, 17)
    phase = np.pi * bands * (y + rng.uniform(-0.5, 0.5) * np.abs(x)) + rng.uniform(1.4, 2.6) * warp
    broken = fractal_noise(rng, side, side, side / 7)
    bare = rng.uniform(0.1, 0.45)
    stripes: Plane = np.clip((np.sin(phase) - bare + 0.5 * broken) * 3.5, 0, 1).astype(np.float32)
    return stripes


def fur(rng: np.random.Generator, side: int) -> Plane:
    """Light and shadow of fur on a floor, a factor around 1: fine hairs and broad folds."""
    hairs = noise(rng, side, side, 2.0, stretch=3.0) * rng.uniform(0.03, 0.12)
    folds = noise(rng, side, side, side / 3) * rng.uniform(0.05, 0.22)
    return (1 + hairs + folds).astype(np.float32)


def striped_pelt(rng: np.random.Generator, side: int) -> Cutout:
    """A tiger's hide laid flat: orange to tan with dark stripes, paler towards its edge."""
    cover = hide_outline(rng, side)
    tan = jittered(rng, (204, 132, 62) if rng.random() < 0.7 else (190, 148, 96), 26)
    if rng.random() < 0.08:
        tan = jittered(rng, (222, 214, 200), 14)
    depth = cv2.GaussianBlur((cover > 0.5).astype(np.float32), (0, 0), side * 0.05)
    colour = mixed(jittered(rng, (228, 208, 176), 16), tan, np.clip((depth - 0.45) * 2.4, 0, 1))
    colour = mixed(colour, jittered(rng, (38, 28, 22), 14), tiger_stripes(rng, side) * rng.uniform(0.8, 1))
    return trim(to_cutout(colour * fur(rng, side)[..., None], cover))


def plain_hide(rng: np.random.Generator, side: int) -> Cutout:
    """A cattle hide rug: the outline of a pelt, but plain or blotched. No label covers it."""
    cover = hide_outline(rng, side)
    dark = jittered(rng, ((40, 32, 28), (110, 70, 44), (150, 112, 76))[rng.integers(0, 3)], 24)
    pale = jittered(rng, (226, 216, 200), 20)
    blotches = np.clip(fractal_noise(rng, side, side, side / rng.uniform(2, 5)) * 8 + rng.uniform(-5, 5), 0, 1)
    return trim(to_cutout(mixed(dark, pale, blotches) * fur(rng, side)[..., None], cover))


def patterned_cloth(rng: np.random.Generator, side: int) -> Cutout:
    """A rug, towel or scarf with regular stripes, checks, dots or a zebra print. No label covers it."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / np.float32(side)
    tall = rng.uniform(0.4, 1.0)
    ripple = 0.012 * noise(rng, side, side, side / 5)
    inside = np.minimum(np.minimum(x, 1 - x), np.minimum(y - (1 - tall) / 2, (1 + tall) / 2 - y)) - 0.02
    cover = np.clip((inside + ripple) * side, 0, 1).astype(np.float32)
    count = rng.uniform(4, 16)
    kind = rng.integers(0, 4)
    turn = rng.choice((0.0, np.pi / 2, np.pi / 4))
    u = x * np.cos(turn) + y * np.sin(turn)
    v = y * np.cos(turn) - x * np.sin(turn)
    if kind == 0:
        pattern = np.sin(2 * np.pi * count * u + 10 * ripple) > rng.uniform(-0.6, 0.6)
    elif kind == 1:
        pattern = (np.sin(2 * np.pi * count * u) > 0) ^ (np.sin(2 * np.pi * count * v) > 0)
    elif kind == 2:
        pattern = np.cos(2 * np.pi * count * u) + np.cos(2 * np.pi * count * v) > 1
    else:
        warp = fractal_noise(rng, side, side, side / 3)
        pattern = np.sin(2 * np.pi * count * u * 0.7 + 2.2 * warp) > 0
    first = rng.uniform(20, 250, 3).astype(np.float32)
    second = rng.uniform(20, 250, 3).astype(np.float32)
    if kind == 3:
        first = rng.uniform(0, 40, 3).astype(np.float32)
        second = rng.uniform(215, 250, 3).astype(np.float32)
    elif rng.random() < 0.25:
        first, second = jittered(rng, (210, 130, 60), 25), jittered(rng, (35, 30, 28), 15)
    soft = cv2.GaussianBlur(pattern.astype(np.float32), (0, 0), max(0.6, side / 200))
    colour = mixed(first, second, soft.astype(np.float32))
    return trim(to_cutout(colour * fur(rng, side)[..., None], cover))
