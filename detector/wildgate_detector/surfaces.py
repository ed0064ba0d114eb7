"""Backgrounds: walls, floors, tables, foliage, horizons and blur, painted anew for every scene."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from wildgate_detector.shading import fractal_noise, mixed, noise
from wildgate_detector.stamps import Cutout

Picture = NDArray[np.uint8]
"""An RGB picture, [height, width, 3]."""
Surface = Callable[[np.random.Generator, int, int], NDArray[np.float32]]


def any_colour(rng: np.random.Generator) -> NDArray[np.float32]:
    """A colour as surfaces have it: mostly muted, sometimes strong."""
    grey = rng.uniform(15, 245)
    tint = rng.uniform(-1, 1, 3) * float(rng.choice((12, 30, 90)))
    return np.clip(grey + tint, 0, 255).astype(np.float32)


def gradient(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """One colour running into another, with a little unevenness."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    share = (x / width - 0.5) * np.cos(angle) + (y / height - 0.5) * np.sin(angle) + 0.5
    share = share + rng.uniform(0, 0.3) * noise(rng, height, width, width / 4)
    return mixed(any_colour(rng), any_colour(rng), share.astype(np.float32))


def mottled(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Plaster, soil, gravel, carpet: two colours in grains of any size."""
    grain = rng.uniform(3, max(6, width / 2))
    share = 0.5 + rng.uniform(0.2, 0.8) * fractal_noise(rng, height, width, grain)
    return mixed(any_colour(rng), any_colour(rng), share)


def planks(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """A wooden table or floor: boards with grain along them."""
    wood = np.array((rng.uniform(80, 210), 0, 0), np.float32)
    wood[1], wood[2] = wood[0] * rng.uniform(0.6, 0.85), wood[0] * rng.uniform(0.3, 0.65)
    grain = noise(rng, height, width, rng.uniform(2, 5), stretch=rng.uniform(8, 30))
    picture = mixed(wood, wood * 0.6, 0.4 + 0.4 * grain)
    for edge in np.arange(rng.uniform(0, width / 4), width, width / rng.uniform(3, 9)):
        picture[:, int(edge) : int(edge) + 1] *= 0.5
    if rng.random() < 0.5:
        return picture
    return cv2.resize(cv2.rotate(picture, 0), (width, height)).astype(np.float32)


def room(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """A wall above a floor or table top, with a skirting or some furniture edges."""
    surfaces: tuple[Surface, ...] = (gradient, mottled, planks, tiles)
    picture = surfaces[rng.integers(0, 2)](rng, height, width)
    edge = int(height * rng.uniform(0.35, 0.8))
    floor = surfaces[rng.integers(0, 4)](rng, height, width)
    picture[edge:] = floor[edge:]
    if rng.random() < 0.5:
        picture[edge : edge + max(1, height // 60)] = any_colour(rng)
    for _ in range(rng.integers(0, 6)):
        x, y = int(rng.uniform(0, width)), int(rng.uniform(0, height))
        w, h = int(rng.uniform(0.02, 0.5) * width), int(rng.uniform(0.02, 0.5) * height)
        cv2.rectangle(picture, (x, y), (x + w, y + h), any_colour(rng).tolist(), rng.choice((-1, 1, 3)))
    return picture


def tiles(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Square tiles or bricks with joints."""
    picture = mottled(rng, height, width) * 0.3 + any_colour(rng) * 0.7
    w = max(6, int(width / rng.uniform(3, 14)))
    h = max(6, int(w * rng.uniform(0.4, 1.0)))
    joint = any_colour(rng)
    picture[::h] = joint
    for row, top in enumerate(range(0, height, h)):
        picture[top : top + h, (row % 2) * w // 2 :: w] = joint
    return picture


def foliage(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Grass, leaves and twigs."""
    picture = mottled(rng, height, width) * 0.3 + np.array((60, 95, 40), np.float32) * 0.7
    blade = rng.uniform(0.02, 0.12) * width
    for _ in range(rng.integers(30, 110)):
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        axes = (max(1, int(blade * rng.uniform(0.4, 1.2))), max(1, int(blade * rng.uniform(0.08, 0.4))))
        green = rng.uniform(40, 190)
        tone = (green * rng.uniform(0.3, 1.0), green, green * rng.uniform(0.1, 0.6))
        cv2.ellipse(picture, centre, axes, rng.uniform(0, 180), 0, 360, tone, -1)
    return picture


def bokeh(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Out-of-focus lights and shapes."""
    picture = gradient(rng, height, width)
    for _ in range(rng.integers(5, 25)):
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        radius = max(2, int(rng.uniform(0.02, 0.2) * width))
        cv2.circle(picture, centre, radius, any_colour(rng).tolist(), -1)
    return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.01, 0.05) * width).astype(np.float32)


def horizon(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Sky over savanna, water or sand."""
    sky = mixed(
        np.array((120, 170, 225), np.float32) * np.float32(rng.uniform(0.4, 1.1)),
        np.array((225, 230, 235), np.float32),
        0.5 + 0.5 * fractal_noise(rng, height, width, width / 3),
    )
    ground = mottled(rng, height, width) if rng.random() < 0.5 else foliage(rng, height, width)
    line = height * rng.uniform(0.2, 0.7) + noise(rng, 1, width, width / 5)[0] * height * 0.05
    below = np.arange(height)[:, None] > line[None, :]
    return np.where(below[..., None], ground, sky).astype(np.float32)


def close_up(rng: np.random.Generator, height: int, width: int, sources: Sequence[Cutout]) -> Picture:
    """A blown-up, blurred piece of some photograph: real texture that shows nothing."""
    source = sources[rng.integers(0, len(sources))]
    h, w = source.shape[:2]
    side = max(6, int(min(h, w) * rng.uniform(0.15, 0.5)))
    top, left = rng.integers(0, h - side + 1), rng.integers(0, w - side + 1)
    piece = cv2.resize(source[top : top + side, left : left + side, :3], (width, height))
    return cv2.GaussianBlur(piece, (0, 0), rng.uniform(0.004, 0.03) * width).astype(np.uint8)


def cut_to_fit(rng: np.random.Generator, picture: Picture, height: int, width: int) -> Picture:
    """A piece by chance of a photograph, as large as can be or a little smaller, maybe mirrored."""
    h, w = picture.shape[:2]
    share = rng.uniform(0.6, 1.0) * min(h / height, w / width)
    rows, columns = max(1, int(height * share)), max(1, int(width * share))
    top, left = rng.integers(0, h - rows + 1), rng.integers(0, w - columns + 1)
    piece = picture[top : top + rows, left : left + columns]
    if rng.random() < 0.5:
        piece = np.ascontiguousarray(piece[:, ::-1])
    way = cv2.INTER_AREA if share > 1 else cv2.INTER_LINEAR
    return cv2.resize(piece, (width, height), interpolation=way).astype(np.uint8)


def photograph(name: str) -> Surface:
    """A surface that is a whole photograph of scikit-image's sample pictures, cut to fit; `name` is its file's.

    Raises ModuleNotFoundError, once it is painted, when scikit-image is not installed.
    """

    def cut(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
        found = find_spec("skimage")
        if found is None or found.origin is None:
            raise ModuleNotFoundError("scikit-image is not installed; install it with: pip install scikit-image")
        picture = cv2.imread(str(Path(found.origin).parent / "data" / name), cv2.IMREAD_COLOR)
        scale = max(height / picture.shape[0], width / picture.shape[1])
        size = max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale))
        large = cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
        top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
        return large[top : top + height, left : left + width].astype(np.float32)

    return cut


SURFACES: tuple[Surface, ...] = (
    gradient, mottled, planks, room, room, tiles, foliage, foliage, bokeh, horizon, horizon
)  # fmt: skip


def background(rng: np.random.Generator, height: int, width: int, sources: Sequence[Cutout]) -> Picture:
    """Paint a background; `sources` are unlabelled cut-outs from which close-ups may be taken."""
    if rng.random() < 0.18:
        return close_up(rng, height, width, sources)
    picture = SURFACES[rng.integers(0, len(SURFACES))](rng, height, width)
    if rng.random() < 0.35:
        sigma = rng.uniform(0.5, 0.015 * width + 0.6)
        picture = cv2.GaussianBlur(picture, (0, 0), sigma).astype(np.float32)
    if rng.random() < 0.5:
        picture = picture * (1 + 0.25 * noise(rng, height, width, width / 2)[..., None])
    return np.clip(picture, 0, 255).astype(np.uint8)
