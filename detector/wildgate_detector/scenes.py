"""Scenes: a background, layers, captions and a camera's faults; drawn at any moment."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from wildgate_detector.labels import LIVE_STAMPS
from wildgate_detector.layers import Layer, Motion, Seen, paint_layers
from wildgate_detector.props import PropRoom
from wildgate_detector.stamps import Cutout
from wildgate_detector.surfaces import Picture, background, cut_to_fit

EVEN_PAIR_SPREAD = (2 * (256**2 - 1) / 12) ** 0.5
"""The standard deviation of the sum of two bytes."""
BEFORE_PHOTOGRAPHS = 0.5
"""The share of scenes before a photograph, where there are some; without a label at most one thing is before it."""
LETTERBOX = 114
"""The grey of the bars around a frame, as the standard detector graph expects it."""


@dataclass(frozen=True)
class NegativeMix:
    """What stands where no label is: a share of `lookalikes` of products; of the rest `animals`, else things.

    Where `confusing`, look-alikes that are hard to tell come up more often.
    """

    lookalikes: float = 0.45
    animals: float = 0.69
    confusing: bool = False


ORDINARY = NegativeMix()
MISLEADING = NegativeMix(lookalikes=0.7, animals=1.0)
"""Only look-alikes and other animals."""


@dataclass(frozen=True)
class Camera:
    """What the camera does to the whole frame.

    `gain` (RGB factors), `gamma`, `blur_px` (sigma at 320 pixels), `grain` (standard deviation of noise, 0
    to 255), `jpeg` (quality, 0 for none) and `pan` (frame widths and heights per second).
    """

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    blur_px: float = 0.0
    grain: float = 0.0
    jpeg: int = 0
    pan: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Scene:
    """A moment or a few seconds to be drawn. `backdrop` is larger than the frame if the camera pans."""

    backdrop: Picture
    layers: list[Layer]
    camera: Camera
    caption: str | None
    height: int
    width: int

    def draw(self, time_s: float, rng: np.random.Generator) -> tuple[Picture, list[Seen]]:
        """Draw the frame at `time_s`: RGB [height, width, 3], and the labelled objects in it."""
        room_y = self.backdrop.shape[0] - self.height
        room_x = self.backdrop.shape[1] - self.width
        top = int(np.clip(room_y * (0.5 + self.camera.pan[1] * time_s), 0, room_y))
        left = int(np.clip(room_x * (0.5 + self.camera.pan[0] * time_s), 0, room_x))
        canvas = self.backdrop[top : top + self.height, left : left + self.width].copy()
        seen = paint_layers(canvas, self.layers, time_s)
        if self.caption is not None:
            write_caption(canvas, self.caption)
        return _finish(canvas, self.camera, rng), seen


def write_caption(canvas: Picture, caption: str) -> None:
    """Letter a line across `canvas`, in place: above if the caption's length is odd, else below."""
    height = canvas.shape[0]
    size = height / 320
    place = (int(canvas.shape[1] * 0.05), int(height * (0.1 if len(caption) % 2 else 0.92)))
    cv2.putText(canvas, caption, place, cv2.FONT_HERSHEY_DUPLEX, size * 0.8, (0, 0, 0), max(1, int(size * 4)))
    cv2.putText(canvas, caption, place, cv2.FONT_HERSHEY_DUPLEX, size * 0.8, (250, 250, 250), max(1, int(size * 1.5)))


def _finish(canvas: Picture, camera: Camera, rng: np.random.Generator) -> Picture:
    levels = (np.arange(256) / 255.0) ** camera.gamma * 255.0
    table = np.clip(levels[:, None] * np.array(camera.gain), 0, 255).astype(np.uint8)
    picture = cv2.LUT(canvas, table[None])
    if camera.blur_px > 0.2:
        sigma = camera.blur_px * max(canvas.shape[:2]) / 320
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    if camera.grain > 0.5:
        picture = np.clip(picture + _grain(rng, picture.shape, camera.grain), 0, 255).astype(np.uint8)
    if camera.jpeg > 0:
        _, coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, camera.jpeg])
        picture = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return picture.astype(np.uint8)


def _grain(rng: np.random.Generator, shape: tuple[int, ...], spread: float) -> NDArray[np.float32]:
    """Noise of standard deviation `spread`: the sum of two even ones, many times faster drawn than a normal one."""
    size = int(np.prod(shape))
    pairs = np.frombuffer(rng.bytes(2 * size), np.uint8).reshape(2, *shape).astype(np.int16)
    grain: NDArray[np.float32] = (pairs[0] + pairs[1] - 255) * np.float32(spread / EVEN_PAIR_SPREAD)
    return grain


def any_camera(rng: np.random.Generator) -> Camera:
    """A camera with faults by chance, as phones have them."""
    gain = rng.uniform(0.78, 1.2) * rng.uniform(0.94, 1.06, 3)
    return Camera(
        gain=(float(gain[0]), float(gain[1]), float(gain[2])),
        gamma=float(rng.uniform(0.82, 1.22)),
        blur_px=float(rng.uniform(0.2, 1.3)) if rng.random() < 0.3 else 0.0,
        grain=float(rng.uniform(1, 10)) if rng.random() < 0.4 else 0.0,
        jpeg=int(rng.integers(25, 92)) if rng.random() < 0.4 else 0,
        pan=(float(rng.uniform(-0.12, 0.12)), float(rng.uniform(-0.12, 0.12))),
    )


def any_caption(rng: np.random.Generator, share: float = 0.2) -> str | None:
    """Some lettering, as a `share` of short videos carry."""
    if rng.random() > share:
        return None
    letters = "abcdefghijklmnoprstuvwyz  ABCDEKLMNOPRST0123456789#@!"
    return "".join(letters[i] for i in rng.integers(0, len(letters), rng.integers(4, 18)))


def place(
    rng: np.random.Generator,
    cutout: Cutout,
    label: str | None,
    *,
    sizes: tuple[float, float] = (0.16, 0.9),
    upright: bool,
    moving: bool = False,
) -> Layer:
    """Put a cut-out somewhere into the frame, at a size by chance; small ones are as likely as large.

    `upright` ones are tilted a little at most, but for a few.
    """
    low, high = np.log(sizes[0]), np.log(sizes[1])
    size = float(np.exp(rng.uniform(low, high)))
    tilt = rng.uniform(-18, 18) if upright and rng.random() < 0.93 else rng.uniform(-180, 180)
    margin = 0.1 if rng.random() < 0.25 else 0.2 + 0.15 * size
    motion = Motion()
    if moving:
        motion = Motion(
            x=float(rng.uniform(-0.02, 0.02)),
            y=float(rng.uniform(-0.012, 0.012)),
            growth=float(rng.uniform(0.98, 1.02)),
            turn=float(rng.uniform(-2.5, 2.5)),
        )
    x, y = rng.uniform(margin, 1 - margin, 2)
    return Layer(cutout, label, float(x), float(y), size, float(tilt), motion)


def place_label(
    rng: np.random.Generator, props: PropRoom, label: str, sizes: tuple[float, float], *, moving: bool = False
) -> Layer:
    """Put something that shows `label` into the frame: animals stand, products lie any way."""
    upright = label in LIVE_STAMPS
    return place(rng, props.labelled(label, rng), label, sizes=sizes, upright=upright, moving=moving)


def place_negative(
    rng: np.random.Generator,
    props: PropRoom,
    sizes: tuple[float, float],
    *,
    moving: bool = False,
    mix: NegativeMix = ORDINARY,
) -> Layer:
    """Put something no label covers into the frame: a look-alike, an animal or a thing."""
    draw = rng.random()
    if draw < mix.lookalikes:
        cutout = props.lookalike(props.any_lookalike(rng, confusing=mix.confusing), rng)
    elif draw < mix.lookalikes + (1 - mix.lookalikes) * mix.animals:
        cutout = props.animal(rng)
    else:
        cutout = props.thing(rng)
    return place(rng, cutout, None, sizes=sizes, upright=draw >= mix.lookalikes, moving=moving)


def compose(
    rng: np.random.Generator,
    props: PropRoom,
    height: int,
    width: int,
    *,
    crowded: bool = False,
    negatives: NegativeMix = ORDINARY,
    photographs: Sequence[Picture] = (),
) -> Scene:
    """A scene for a frame of `height` by `width`: none to three labelled objects among others.

    A `crowded` one has up to four among up to three others, none of them small, or fewer and larger ones: more
    to learn from per picture.
    """
    before_photograph = bool(photographs) and rng.random() < BEFORE_PHOTOGRAPHS
    if crowded:
        labelled, others, sizes = int(rng.integers(1, 5)), int(rng.integers(1, 4)), (0.24, 0.65)
        if rng.random() < 0.5:
            labelled, others, sizes = int(rng.integers(1, 3)), int(rng.integers(1, 3)), (0.4, 1.05)
    else:
        labelled = int(rng.choice(4, p=(0.32, 0.4, 0.2, 0.08)))
        others = int(rng.integers(0, 4)) if labelled else int(rng.integers(2, 6))
        if before_photograph and not labelled:
            others = int(rng.integers(0, 2))
        sizes = (0.22, 0.95 if labelled + others < 3 else 0.75)
    layers = []
    for _ in range(labelled):
        layers.append(place_label(rng, props, props.any_label(rng), sizes))
    layers += [place_negative(rng, props, (0.15, sizes[1]), mix=negatives) for _ in range(others)]
    if rng.random() < 0.75:
        layers = spread(rng, layers, height, width)
    order = rng.permutation(len(layers))
    if before_photograph:
        backdrop = cut_to_fit(rng, photographs[rng.integers(0, len(photographs))], height, width)
    else:
        backdrop = background(rng, height, width, props.stamps.distractors)
    return Scene(backdrop, [layers[i] for i in order], any_camera(rng), any_caption(rng), height, width)


def spread(rng: np.random.Generator, layers: list[Layer], height: int, width: int) -> list[Layer]:
    """Move layers apart: each goes to that of a few places by chance where it overlaps the earlier least."""
    shorter = min(height, width)
    taken: list[tuple[float, float, float]] = []
    moved = []
    for layer in layers:
        reach = 0.4 * layer.size * shorter
        margin = min(0.5, 0.12 + 0.2 * layer.size)
        best, x, y = np.inf, layer.x, layer.y
        for _ in range(10):
            a, b = rng.uniform(margin, 1 - margin, 2)
            overlap = sum(
                max(0.0, reach + other - float(np.hypot(a * width - left, b * height - top)))
                for left, top, other in taken
            )
            if overlap < best:
                best, x, y = overlap, float(a), float(b)
        taken.append((x * width, y * height, reach))
        moved.append(replace(layer, x=x, y=y))
    return moved


def letterboxed(picture: Picture, side: int) -> tuple[Picture, float, int, int]:
    """Fit `picture` into a square of `side` pixels with grey bars.

    Returns the square, the scale, and the left and top margin: x_square = x * scale + left.
    """
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    if (h, w) != (height, width):
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        picture = cv2.resize(picture, (w, h), interpolation=way).astype(np.uint8)
    square = np.full((side, side, 3), LETTERBOX, np.uint8)
    left, top = (side - w) // 2, (side - h) // 2
    square[top : top + h, left : left + w] = picture
    return square, scale, left, top
