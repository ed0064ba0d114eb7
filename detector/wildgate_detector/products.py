"""Rendered wildlife products: ivory, horn and scales. Each call draws a new one.

They are drawings with believable shape, colour and light, not photographs of seized goods.
"""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from wildgate_detector.pelts import striped_pelt
from wildgate_detector.shading import (
    Plane,
    fractal_noise,
    jittered,
    mixed,
    noise,
    shade,
    to_cutout,
)
from wildgate_detector.stamps import Cutout, trim
from wildgate_detector.tubes import Spine, Tube, arc, draw, fitted

Renderer = Callable[[np.random.Generator, int], Cutout]
"""Draws one object on a square of so many pixels and returns it trimmed."""

IVORY: Final = (238.0, 222.0, 186.0)
AGED_IVORY: Final = (206.0, 170.0, 112.0)
STAIN: Final = (120.0, 84.0, 50.0)

SHIELD: Final = np.array(
    [
        (-0.75, -0.35),
        (-0.5, -0.6),
        (0.1, -0.62),
        (0.6, -0.38),
        (0.95, 0.0),
        (0.6, 0.38),
        (0.1, 0.62),
        (-0.5, 0.6),
        (-0.75, 0.35),
    ]
)
"""The outline of a pangolin's scale, x towards its tip; 1 is its size."""
TIP: Final = np.array([(0.21, -0.34), (0.73, 0.0), (0.21, 0.34)])
"""The worn, lighter end of that scale."""


def elephant_tusk(rng: np.random.Generator, side: int) -> Cutout:
    """A curved, tapering tusk with cracks along it and a stained, sometimes hollow root."""
    t = np.linspace(0, 1, 56)
    root = rng.uniform(0.045, 0.1)
    thickness = root * np.clip(1 - t, 0.02, 1) ** rng.uniform(0.35, 0.75) * (1 - 0.15 * (1 - t) ** 6)
    tube = draw(arc(side, rng.uniform(0.35, 1.9), thickness, s_bend=rng.uniform(-0.15, 0.15)), side)
    cracks = streaks(rng, tube, lanes=rng.uniform(3, 7), length=4.0)
    colour = mixed(jittered(rng, IVORY, 16), jittered(rng, AGED_IVORY, 20), 0.25 + 0.3 * cracks)
    root_part = np.clip(1 - tube.along / rng.uniform(0.08, 0.4), 0, 1) * rng.uniform(0.2, 0.9)
    colour = mixed(colour, jittered(rng, STAIN, 20), root_part * (0.7 + 0.3 * cracks))
    lines = np.clip(streaks(rng, tube, lanes=12, length=6.0) - 0.75, 0, 1) * rng.uniform(0, 1.5)
    colour = mixed(colour, jittered(rng, STAIN, 20), lines)
    cutout = shade(rng, tube.height, colour, tube.alpha, gloss=rng.uniform(0.05, 0.4))
    return trim(cutout)


def streaks(rng: np.random.Generator, tube: Tube, *, lanes: float, length: float) -> Plane:
    """Noise drawn out along a tube, about -1 to 1: `lanes` across it, `length` grains along it."""
    table = noise(rng, 96, 192, 192 / max(length, 1.0), stretch=96 / 192 * length / lanes)
    across = np.arcsin(np.clip(tube.across, -1, 1)) / np.pi + 0.5
    columns = np.clip(tube.along, 0, 1) * 190
    return cv2.remap(
        table,
        columns.astype(np.float32),
        (across * 94).astype(np.float32),
        cv2.INTER_LINEAR,
    ).astype(np.float32)


def rhino_horn(rng: np.random.Generator, side: int) -> Cutout:
    """A dark, thick cone, bent a little, with a fibrous, frayed and lighter root."""
    t = np.linspace(0, 1, 48)
    root = rng.uniform(0.17, 0.34)
    flare = 1 + rng.uniform(0.0, 0.12) * np.clip(1 - t / 0.2, 0, 1) ** 2
    thickness = root * np.clip(1 - t, 0.03, 1) ** rng.uniform(0.75, 1.25) * flare
    tube = draw(arc(side, rng.uniform(0.1, 1.1), thickness), side)
    fibres = streaks(rng, tube, lanes=rng.uniform(16, 30), length=3.0)
    dark = jittered(rng, (74, 64, 56), 26)
    colour = mixed(dark, jittered(rng, (128, 112, 92), 24), 0.35 + 0.35 * fibres)
    root_part = np.clip(1 - tube.along / rng.uniform(0.15, 0.4), 0, 1)
    colour = mixed(colour, jittered(rng, (150, 128, 98), 26), root_part * (0.45 + 0.55 * fibres))
    height = tube.height + fibres * side * rng.uniform(0.004, 0.012) * (0.3 + root_part)
    frayed = tube.along + 0.02 * fibres > rng.uniform(0.0, 0.03)
    alpha = tube.alpha * cv2.GaussianBlur(frayed.astype(np.float32), (3, 3), 0)
    return trim(shade(rng, height, colour, alpha, gloss=rng.uniform(0.0, 0.3)))


def carved_ivory(rng: np.random.Generator, side: int) -> Cutout:
    """A bangle, a turned and carved figurine, or a small relief, with dirt in its grooves."""
    shape = rng.integers(0, 3)
    if shape == 0:
        tube = draw(ring(rng, side, rng.uniform(0.1, 0.2)), side)
        turns = rng.integers(10, 30)
        relief = np.sin(tube.along * 2 * np.pi * turns) * np.cos(tube.across * rng.uniform(2, 9))
        if rng.random() < 0.3:
            relief = streaks(rng, tube, lanes=5, length=30)
        height, alpha, depth = tube.height, tube.alpha, rng.uniform(0.006, 0.016)
    elif shape == 1:
        tube = draw(lathe(rng, side), side)
        folds = np.sin(tube.along * rng.uniform(40, 90) + 3 * tube.across * rng.uniform(-2, 2))
        relief = 0.6 * folds + 0.8 * fractal_noise(rng, side, side, side / rng.uniform(7, 14))
        height, alpha, depth = tube.height, tube.alpha, rng.uniform(0.008, 0.018)
    else:
        alpha, height = blob(rng, side)
        relief = carving(rng, side)
        depth = rng.uniform(0.012, 0.028)
    relief = relief.astype(np.float32)
    groove = np.clip(-relief, 0, 1) ** 1.3 * rng.uniform(0.5, 1.0)
    colour = mixed(jittered(rng, IVORY, 14), jittered(rng, AGED_IVORY, 18), noise(rng, side, side, side / 3))
    colour = mixed(colour, jittered(rng, STAIN, 20), groove)
    cutout = shade(
        rng, (height + relief * side * depth).astype(np.float32), colour, alpha, gloss=rng.uniform(0.05, 0.35)
    )
    return trim(cutout)


def ring(rng: np.random.Generator, side: int, thickness: float) -> Spine:
    """A closed, tilted ring whose tube is `thickness` of its radius thick."""
    angle = np.linspace(0, 2 * np.pi, 72)
    points = np.stack((np.cos(angle), np.sin(angle) * rng.uniform(0.45, 1.0)), axis=1)
    radius = np.full(72, thickness) * (1 + 0.25 * np.sin(angle))
    return fitted(side, points.astype(np.float32), radius.astype(np.float32))


def lathe(rng: np.random.Generator, side: int) -> Spine:
    """An upright body of revolution with bulges: a base, a trunk, a head."""
    knots = rng.uniform(0.07, 0.22, 7)
    knots[0], knots[-1] = rng.uniform(0.15, 0.25), rng.uniform(0.05, 0.12)
    radius = np.interp(np.linspace(0, 6, 64), np.arange(7), knots)
    radius = np.convolve(np.pad(radius, 3, mode="edge"), np.ones(7) / 7, mode="valid")
    lean = rng.uniform(-0.06, 0.06) * np.sin(np.linspace(0, np.pi, 64))
    points = np.stack((lean, np.linspace(1, 0, 64)), axis=1)
    return fitted(side, points.astype(np.float32), radius.astype(np.float32))


def blob(rng: np.random.Generator, side: int) -> tuple[Plane, Plane]:
    """A rounded, uneven lump: its cover (0 to 1) and height (pixels)."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / np.float32(side) * 2 - 1
    squash, power = rng.uniform(0.6, 1.0), rng.uniform(2.0, 3.5)
    reach = (np.abs(x) ** power + np.abs(y / squash) ** power) ** (1 / power)
    reach += 0.12 * fractal_noise(rng, side, side, side / 3) + 0.12
    alpha = np.clip((0.92 - reach) * side / 3, 0, 1)
    height = np.sqrt(np.clip(1 - np.minimum(reach / 0.95, 1) ** 2, 0, 1)) * side * 0.28
    return alpha.astype(np.float32), height.astype(np.float32)


def carving(rng: np.random.Generator, side: int) -> Plane:
    """Carved scrolls and figures: warped waves, about -1 to 1."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / np.float32(side) * 2 - 1
    warp = fractal_noise(rng, side, side, side / 3)
    angle = np.arctan2(y - rng.uniform(-0.3, 0.3), x - rng.uniform(-0.3, 0.3))
    radius = np.hypot(x, y)
    waves = np.sin(radius * rng.uniform(10, 26) + angle * rng.integers(1, 6) + 4 * warp)
    detail = fractal_noise(rng, side, side, side / 10)
    relief: Plane = (0.8 * waves + 0.6 * detail).astype(np.float32)
    return relief


def pangolin_scales(rng: np.random.Generator, side: int) -> Cutout:
    """Horny, pointed, ridged scales: in overlapping rows as on the animal, or heaped loosely."""
    in_rows = rng.random() < 0.5
    size = side * rng.uniform(0.07, 0.16)
    base = jittered(rng, (130, 98, 62) if rng.random() < 0.75 else (98, 90, 78), 30)
    canvas = np.zeros((side, side, 3), np.uint8)
    cover = np.zeros((side, side), np.uint8)
    for x, y, angle in scale_places(rng, side, size, in_rows=in_rows):
        scale = size * rng.uniform(0.8, 1.2) if not in_rows else size * rng.uniform(0.95, 1.05)
        draw_scale(rng, canvas, cover, (x, y, scale, angle), jittered(rng, tuple(base), 18))
    light = 1 + 0.18 * noise(rng, side, side, side / 2)[..., None]
    alpha = cv2.GaussianBlur(cover, (3, 3), 0).astype(np.float32) / 255
    return trim(to_cutout(canvas * light, alpha))


def scale_places(
    rng: np.random.Generator, side: int, size: float, *, in_rows: bool
) -> list[tuple[float, float, float]]:
    """Where scales lie, lowest first: x, y (pixels) and the direction of the tip (radians)."""
    places = []
    if in_rows:
        bend, wide = rng.uniform(-0.3, 0.3), rng.uniform(0.28, 0.46)
        rows = int(side * 0.86 / (size * 0.75))
        for row in range(rows, -1, -1):
            share = row / max(rows, 1)
            half = side * wide * np.sqrt(max(0.05, 1 - (2 * share - 1) ** 2 * rng.uniform(0.6, 0.95)))
            middle = side / 2 + side * bend * (share - 0.5) ** 2
            for x in np.arange(-half + (row % 2) * size * 0.5, half, size):
                places.append((middle + x, side * 0.07 + row * size * 0.75, np.pi / 2 + x / side * 0.5))
        return places
    count = int(rng.uniform(0.9, 1.6) * (side / size) ** 2)
    wide, tall = rng.uniform(0.25, 0.4), rng.uniform(0.16, 0.36)
    for _ in range(count):
        x, y = np.clip(rng.standard_normal(2) * 0.45, -1, 1)
        places.append((side * (0.5 + x * wide), side * (0.5 + y * tall), rng.uniform(0, 2 * np.pi)))
    return places


def draw_scale(
    rng: np.random.Generator,
    canvas: NDArray[np.uint8],
    cover: NDArray[np.uint8],
    place: tuple[float, float, float, float],
    colour: NDArray[np.float32],
) -> None:
    """Draw one scale at `place` (x, y, size, angle): a shield with a dark rim, ridges and a worn tip."""
    x, y, size, angle = place
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = np.array((x, y))
    outline = np.round((SHIELD * size @ turn + middle) * 8).astype(np.int32)
    tone = float(rng.uniform(0.85, 1.15))
    cv2.fillConvexPoly(canvas, outline, (colour * 0.35).tolist(), cv2.LINE_AA, 3)
    cv2.fillConvexPoly(cover, outline, (255,), cv2.LINE_AA, 3)
    inner = np.round((SHIELD * size * 0.86 @ turn + middle) * 8).astype(np.int32)
    cv2.fillConvexPoly(canvas, inner, np.minimum(colour * tone, 255).tolist(), cv2.LINE_AA, 3)
    tip = np.round((TIP * size @ turn + middle) * 8).astype(np.int32)
    cv2.fillConvexPoly(canvas, tip, np.minimum(colour * tone * 1.25 + 12, 255).tolist(), cv2.LINE_AA, 3)
    for offset in (-0.3, -0.1, 0.1, 0.3):
        ends = np.array([(-0.6, offset * 1.3), (0.45, offset)]) * size @ turn + middle
        first, last = (tuple(int(v) for v in end) for end in np.round(ends * 8))
        cv2.line(canvas, first, last, (colour * 0.72).tolist(), 1, cv2.LINE_AA, 3)


PRODUCT_RENDERERS: Final[dict[str, Renderer]] = {
    "elephant_tusk": elephant_tusk,
    "carved_ivory": carved_ivory,
    "rhino_horn": rhino_horn,
    "pangolin_scales": pangolin_scales,
    "striped_pelt": striped_pelt,
}
"""Product label to what draws it."""
