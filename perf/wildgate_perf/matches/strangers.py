"""Videos that have nothing to do with any other, drawn from a seed: by themselves, and mixed with a known video."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from wildgate_perf.matches.edits import EDITS, Edit, Footage, Picture, Pictures

__all__ = ["ALL_EDITS", "stranger"]

_WIDTH, _HEIGHT, _FPS = 320, 180, 4.0
_SECONDS = 8


def stranger(seed: int) -> Footage:
    """Eight seconds with a cut in the middle; a third of them have bars, as so many videos do."""
    draw = np.random.default_rng([seed, 2026])
    shots = [_shot(draw, _SECONDS * int(_FPS) // 2) for _ in range(2)]
    frames = [frame for shot in shots for frame in shot]
    bars = int(draw.integers(12, 40)) if draw.random() < 1 / 3 else 0
    for frame in frames:
        frame[: bars // 2 * 2] = frame[_HEIGHT - bars // 2 * 2 :] = 0
    return Footage(frames, _FPS)


def _shot(draw: np.random.Generator, count: int) -> list[Picture]:
    """A textured background that drifts, and things that move over it."""
    texture = np.zeros((_HEIGHT + 64, _WIDTH + 64, 3), np.float32)
    for cells in (3, 6, 12, 48):
        noise = draw.normal(0, 1, (cells, cells, 3 if cells < 12 else 1)).astype(np.float32)
        layer: Any = cv2.resize(noise, (_WIDTH + 64, _HEIGHT + 64), interpolation=cv2.INTER_CUBIC)
        texture += layer.reshape(_HEIGHT + 64, _WIDTH + 64, -1) * draw.uniform(5, 160 / cells**0.5)
    background = (texture + draw.uniform(60, 190, 3)).clip(0, 255).astype(np.uint8)
    drift = draw.uniform(-1.5, 1.5, 2)
    things = [_thing(draw) for _ in range(int(draw.integers(2, 9)))]
    frames = []
    for at in range(count):
        left, top = (32 + drift * at).round().astype(int).clip(0, 64)
        frame = np.ascontiguousarray(background[top : top + _HEIGHT, left : left + _WIDTH])
        for kind, place, pace, size, colour, text in things:
            x, y = (place + pace * at).round().astype(int).tolist()
            if kind == 0:
                cv2.circle(frame, (x, y), size, colour, -1)
            elif kind == 1:
                cv2.rectangle(frame, (x, y), (x + 2 * size, y + size), colour, -1)
            elif kind == 2:
                cv2.ellipse(frame, (x, y), (size * 2, size // 2 + 1), 7 * size, 0, 360, colour, -1)
            else:
                cv2.putText(frame, text, (x, y), 0, size / 30, colour, 2)
        frames.append(frame)
    return frames


def _thing(draw: np.random.Generator) -> tuple[int, Any, Any, int, tuple[int, ...], str]:
    place, pace = draw.uniform((0, 0), (_WIDTH, _HEIGHT)), draw.uniform(-4, 4, 2)
    colour = tuple(int(level) for level in draw.integers(0, 256, 3))
    text = "".join(map(chr, draw.integers(65, 91, 6)))
    return int(draw.integers(4)), place, pace, int(draw.integers(8, 48)), colour, text


def _others(like: Pictures) -> list[Picture]:
    """As many pictures of a stranger, as large."""
    height, width = like[0].shape[:2]
    frames = stranger(len(like)).frames
    return [
        cv2.resize(frames[at * len(frames) // len(like)], (width, height)).astype(np.uint8) for at in range(len(like))
    ]


def _inset(pictures: Pictures) -> Pictures:
    """Half as large each way, in a corner of a stranger."""
    around = _others(pictures)
    height, width = (side // 2 for side in pictures[0].shape[:2])
    for frame, picture in zip(around, pictures, strict=True):
        frame[-height:, -width:] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return around


def _beside(pictures: Pictures) -> Pictures:
    return [np.hstack(both) for both in zip(pictures, _others(pictures), strict=True)]


def _half(pictures: Pictures) -> Pictures:
    """A stranger first, then half of it."""
    half = len(pictures) // 2
    return [*_others(pictures)[:half], *pictures[half:]]


def _one_picture(pictures: Pictures) -> Pictures:
    """Of the known video for a second of eight, as a news programme may show it; all else is a stranger."""
    around = _others(pictures)
    middle, eighth = len(around) // 2, len(around) // 8
    return [*around[:middle], *[pictures[middle]] * eighth, *around[middle + eighth :]]


ALL_EDITS = (
    *EDITS,
    Edit("picture in picture", _inset),
    Edit("beside another clip", _beside),
    Edit("half of it", _half),
    Edit("one picture of it", _one_picture, blocked=False),
)
"""Those of a video alone, and those with a stranger."""
