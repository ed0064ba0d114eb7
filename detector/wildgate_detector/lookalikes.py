"""Harmless things that resemble a wildlife product: the negatives a detector has to earn."""

from typing import Final

import cv2
import numpy as np

from wildgate_detector.pelts import patterned_cloth, plain_hide
from wildgate_detector.products import Renderer, blob, lathe, ring, streaks
from wildgate_detector.shading import Colour, jittered, mixed, noise, shade, to_cutout
from wildgate_detector.stamps import Cutout, trim
from wildgate_detector.tubes import arc, draw


def banana(rng: np.random.Generator, side: int) -> Cutout:
    """A banana: tapering at both ends, yellow or green, with flat faces and brown spots."""
    t = np.linspace(0, 1, 56)
    body = np.clip(np.minimum(t / 0.18, (1 - t) / 0.14), 0, 1) ** 0.7
    thickness = rng.uniform(0.06, 0.1) * (0.25 + 0.75 * body)
    tube = draw(arc(side, rng.uniform(0.7, 1.7), thickness), side)
    skin = jittered(rng, (232, 196, 60) if rng.random() < 0.75 else (160, 186, 70), 20)
    faces = np.sin(np.arcsin(tube.across) * 4 + rng.uniform(0, 3))
    colour = mixed(skin, skin * 0.8, 0.5 + 0.5 * faces)
    spots = np.clip(noise(rng, side, side, side / 40) * 2 - rng.uniform(0.8, 2.6), 0, 1)
    ends = np.clip(np.maximum(1 - tube.along / 0.06, 1 - (1 - tube.along) / 0.05), 0, 1)
    colour = mixed(colour, jittered(rng, (82, 62, 34), 14), np.maximum(spots, ends))
    return trim(shade(rng, tube.height, colour, tube.alpha, gloss=rng.uniform(0, 0.25)))


def branch(rng: np.random.Generator, side: int) -> Cutout:
    """A branch or driftwood: crooked, knotty, with grain along it, brown to bleached grey."""
    t = np.linspace(0, 1, 64)
    uneven = 1 + 0.25 * np.interp(t, np.linspace(0, 1, 9), rng.uniform(-1, 1, 9))
    thickness = rng.uniform(0.035, 0.1) * (1 - rng.uniform(0.1, 0.8) * t) * uneven
    tube = draw(arc(side, rng.uniform(-1.4, 1.4), thickness, s_bend=rng.uniform(-0.7, 0.7)), side)
    grain = streaks(rng, tube, lanes=rng.uniform(7, 14), length=5)
    wood: tuple[Colour, ...] = ((122, 86, 54), (150, 132, 110), (90, 66, 46), (172, 130, 84))
    colour = mixed(jittered(rng, wood[rng.integers(0, 4)], 22), jittered(rng, (58, 42, 30), 14), 0.3 + 0.6 * grain)
    height = (tube.height + grain * side * 0.008).astype(np.float32)
    return trim(shade(rng, height, colour, tube.alpha, gloss=rng.uniform(0, 0.1)))


def plastic_pipe(rng: np.random.Generator, side: int) -> Cutout:
    """A pipe or hose of even width: white, grey or coloured plastic, glossy, with an open end."""
    thickness = np.full(64, rng.uniform(0.03, 0.09))
    spine = arc(side, rng.uniform(0, 2.4), thickness, s_bend=rng.uniform(-0.3, 0.3))
    tube = draw(spine, side)
    plain: tuple[Colour, ...] = ((238, 240, 242), (196, 200, 206), (120, 124, 130), (250, 248, 240))
    colour = jittered(rng, plain[rng.integers(0, 4)], 10)
    if rng.random() < 0.3:
        colour = rng.uniform(30, 240, 3).astype(np.float32)
    ribs = np.sin(tube.along * rng.uniform(60, 160)) * (rng.random() < 0.3)
    cutout = shade(
        rng,
        (tube.height + ribs * side * 0.004).astype(np.float32),
        np.broadcast_to(colour, (side, side, 3)).astype(np.float32),
        tube.alpha,
        gloss=rng.uniform(0.3, 0.8),
    )
    if rng.random() < 0.7:
        x, y = (int(v) for v in spine.points[0])
        radius = int(spine.radius[0])
        rgb = np.ascontiguousarray(cutout[..., :3])
        cv2.ellipse(rgb, (x, y), (max(1, radius // 2), max(1, radius - 1)), 0, 0, 360, (45, 45, 48), -1)
        cutout[..., :3] = rgb
    return trim(cutout)


def cattle_horn(rng: np.random.Generator, side: int) -> Cutout:
    """A cow's or buffalo's horn: slender, smooth and glossy, pale with a dark tip or all dark."""
    t = np.linspace(0, 1, 56)
    thickness = rng.uniform(0.06, 0.11) * np.clip(1 - t, 0.02, 1) ** rng.uniform(0.5, 0.8)
    tube = draw(arc(side, rng.uniform(0.8, 2.4), thickness, s_bend=rng.uniform(-0.5, 0.5)), side)
    pale = jittered(rng, (196, 168, 120) if rng.random() < 0.6 else (92, 76, 60), 24)
    dark = jittered(rng, (44, 36, 32), 12)
    start = rng.uniform(0.25, 0.6)
    colour = mixed(pale, dark, np.clip((tube.along - start) / 0.3, 0, 1))
    rings = np.sin(tube.along * rng.uniform(50, 110)) * np.clip(1 - tube.along / 0.4, 0, 1)
    colour = mixed(colour, dark, 0.25 * np.clip(rings, 0, 1))
    height = (tube.height + rings * side * 0.004).astype(np.float32)
    return trim(shade(rng, height, colour, tube.alpha, gloss=rng.uniform(0.2, 0.7)))


def candle(rng: np.random.Generator, side: int) -> Cutout:
    """A straight candle, white, cream or coloured, with a wick and sometimes a flame."""
    thickness = np.full(40, rng.uniform(0.05, 0.13))
    spine = arc(side, rng.uniform(-0.08, 0.08), thickness)
    tube = draw(spine, side)
    wax = jittered(rng, (244, 240, 226), 12) if rng.random() < 0.6 else rng.uniform(40, 240, 3)
    colour = np.broadcast_to(wax, (side, side, 3)).astype(np.float32)
    cutout = np.ascontiguousarray(shade(rng, tube.height, colour, tube.alpha, gloss=rng.uniform(0, 0.3)))
    x, y = (int(v) for v in spine.points[-1])
    radius = max(2, int(spine.radius[-1]))
    if rng.random() < 0.6:
        flame = (255, 214, 110, 255)
        cv2.ellipse(cutout, (min(side - 2, x + radius), y), (radius, max(1, radius // 3)), 0, 0, 360, flame, -1)
    else:
        cv2.line(cutout, (x, y), (min(side - 2, x + radius), y), (40, 36, 32, 255), max(1, side // 100))
    return trim(cutout)


def porcelain(rng: np.random.Generator, side: int) -> Cutout:
    """A smooth, glossy vase, or a bangle of glass or metal: the shapes of carvings, without carving."""
    if rng.random() < 0.5:
        tube = draw(lathe(rng, side), side)
        base = jittered(rng, (240, 242, 246), 10) if rng.random() < 0.5 else rng.uniform(30, 240, 3)
    else:
        tube = draw(ring(rng, side, rng.uniform(0.06, 0.16)), side)
        metals: tuple[Colour, ...] = ((212, 170, 60), (190, 192, 198), (180, 40, 50), (40, 130, 90))
        base = jittered(rng, metals[rng.integers(0, 4)], 20)
    colour = np.broadcast_to(base, (side, side, 3)).astype(np.float32)
    if rng.random() < 0.4:
        band = np.abs(tube.along - rng.uniform(0.2, 0.8)) < rng.uniform(0.02, 0.1)
        colour = mixed(colour, rng.uniform(20, 200, 3).astype(np.float32), band.astype(np.float32))
    return trim(shade(rng, tube.height, colour, tube.alpha, gloss=rng.uniform(0.4, 0.9)))


def stone(rng: np.random.Generator, side: int) -> Cutout:
    """A pebble, a potato, a lump of soap: a rounded lump without relief."""
    alpha, height = blob(rng, side)
    tones: tuple[Colour, ...] = ((150, 146, 140), (190, 160, 120), (236, 226, 206), (96, 92, 90))
    tone = jittered(rng, tones[rng.integers(0, 4)], 24)
    colour = mixed(tone, tone * 0.75, noise(rng, side, side, side / rng.uniform(6, 40)))
    return trim(shade(rng, height, colour, alpha, gloss=rng.uniform(0, 0.3)))


def roof_tiles(rng: np.random.Generator, side: int) -> Cutout:
    """Rows of overlapping tiles or shingles, round or square below, evenly laid."""
    canvas = np.zeros((side, side, 3), np.uint8)
    width = side / rng.integers(5, 12)
    tones: tuple[Colour, ...] = ((178, 88, 62), (120, 120, 126), (150, 110, 86), (96, 60, 52), (70, 92, 110))
    base = jittered(rng, tones[rng.integers(0, 5)], 20)
    is_round = rng.random() < 0.5
    drop = width * rng.uniform(0.7, 1.1)
    top, bottom = side * rng.uniform(0, 0.25), side * rng.uniform(0.75, 1.0)
    for row in range(int((bottom - top) / drop), -1, -1):
        for x in np.arange(-width + (row % 2) * width / 2, side + width, width):
            tone = np.minimum(base * rng.uniform(0.85, 1.15), 255)
            y = top + row * drop
            first = (int(x + width * 0.04), int(y - drop))
            last = (int(x + width * 0.96), int(y + (drop * 0.5 if is_round else drop * 0.95)))
            cv2.rectangle(canvas, first, last, tone.tolist(), -1)
            if is_round:
                centre = (int(x + width / 2), last[1])
                cv2.circle(canvas, centre, int(width * 0.46), tone.tolist(), -1, cv2.LINE_AA)
                cv2.circle(canvas, centre, int(width * 0.46), (tone * 0.5).tolist(), 1, cv2.LINE_AA)
    cover = np.zeros((side, side), np.float32)
    cover[int(top) : int(bottom)] = 1.0
    light = 1 + 0.15 * noise(rng, side, side, side / 2)[..., None]
    return trim(to_cutout(canvas * light, cover))


LOOKALIKES: Final[dict[str, Renderer]] = {
    "banana": banana,
    "branch": branch,
    "plastic_pipe": plastic_pipe,
    "cattle_horn": cattle_horn,
    "candle": candle,
    "porcelain": porcelain,
    "stone": stone,
    "roof_tiles": roof_tiles,
    "patterned_cloth": patterned_cloth,
    "plain_hide": plain_hide,
}
"""What draws each look-alike, by name. None of them has a label."""
