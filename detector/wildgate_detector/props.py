"""The prop room: hands out cut-outs by name, each time varied in form, colour and sharpness."""

from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np

from wildgate_detector.labels import PRODUCTS, STAGED
from wildgate_detector.lookalikes import LOOKALIKES
from wildgate_detector.products import PRODUCT_RENDERERS, Renderer
from wildgate_detector.stamps import Cutout, Stamps, trim

DIFFICULTY: Final[dict[str, float]] = {
    "elephant_tusk": 3.4,
    "rhino_horn": 2.6,
    "carved_ivory": 2.4,
    "pangolin_scales": 2.0,
    "striped_pelt": 1.5,
}
"""How often a product comes up in training scenes, against `ANIMALS_ANYWAY` for each live animal: the branch that is
trained knows products only, and has to leave these alone."""
ANIMALS_ANYWAY: Final = 0.25
CONFUSING: Final[dict[str, float]] = {
    "cattle_horn": 6.0,
    "patterned_cloth": 2.0,
    "branch": 2.0,
    "porcelain": 1.5,
    "stone": 1.5,
}
"""How often a look-alike comes up in training scenes, against 1 for any other: these were taken for products."""
DRAWN_ANEW: Final = 0.25
"""How often a kept rendering gives way to a new one when it is its turn."""


@dataclass
class PropRoom:
    """Cut-outs for scenes. Rendered ones are drawn `side` pixels large.

    With `kept` above 0 that many of each rendered kind are kept and mostly reused, replaced one by one: a
    fraction of the drawing work, for training. With 0 each is drawn anew.
    """

    stamps: Stamps
    side: int
    kept: int = 0
    shelf: dict[str, list[Cutout]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.stamps = self.stamps.at_most(self.side)

    def labelled(self, label: str, rng: np.random.Generator) -> Cutout:
        """A varied cut-out that shows `label`.

        Raises:
            KeyError: there is no such label.
        """
        if label in PRODUCTS:
            return varied(rng, self._rendered(label, PRODUCT_RENDERERS[label], rng))
        return self._one_of(self.stamps.labelled[label], rng)

    def lookalike(self, name: str, rng: np.random.Generator) -> Cutout:
        """A varied look-alike of a product by its name in `LOOKALIKES`."""
        if name == "banana" and rng.random() < 0.4:
            return varied(rng, self.stamps.banana)
        return varied(rng, self._rendered(name, LOOKALIKES[name], rng))

    def animal(self, rng: np.random.Generator) -> Cutout:
        """A varied animal that no label covers."""
        return self._one_of(self.stamps.animals, rng)

    def thing(self, rng: np.random.Generator) -> Cutout:
        """A varied fruit, tool, plant, vehicle or other thing."""
        return self._one_of(self.stamps.distractors, rng)

    def any_label(self, rng: np.random.Generator) -> str:
        """A label by chance; what is harder to learn comes up more often."""
        weights = np.array([DIFFICULTY.get(label, ANIMALS_ANYWAY) for label in STAGED])
        return STAGED[rng.choice(len(STAGED), p=weights / weights.sum())]

    def any_lookalike(self, rng: np.random.Generator, *, confusing: bool = False) -> str:
        """The name of a look-alike by chance; where `confusing`, more often of one that is hard to tell."""
        names = tuple(LOOKALIKES)
        if not confusing:
            return names[rng.integers(0, len(names))]
        weights = np.array([CONFUSING.get(name, 1.0) for name in names])
        return names[rng.choice(len(names), p=weights / weights.sum())]

    def _one_of(self, cutouts: list[Cutout], rng: np.random.Generator) -> Cutout:
        return varied(rng, cutouts[rng.integers(0, len(cutouts))])

    def _rendered(self, name: str, renderer: Renderer, rng: np.random.Generator) -> Cutout:
        if self.kept == 0:
            return renderer(rng, self.side)
        shelf = self.shelf.setdefault(name, [])
        if len(shelf) < self.kept:
            shelf.append(renderer(rng, self.side))
            return shelf[-1]
        place = int(rng.integers(0, len(shelf)))
        if rng.random() < DRAWN_ANEW:
            shelf[place] = renderer(rng, self.side)
        return shelf[place]


def varied(rng: np.random.Generator, cutout: Cutout) -> Cutout:
    """Return a copy of `cutout` with other light, tint, sharpness and perspective, maybe mirrored."""
    saturation, contrast = rng.uniform(0.75, 1.2), rng.uniform(0.85, 1.15)
    mix = np.zeros((4, 5), np.float32)
    mix[:3, :3] = saturation * np.eye(3) + (1 - saturation) / 3
    mix[:3, :3] *= contrast * rng.uniform(0.94, 1.06, (3, 1))
    mix[:3, 4] = 128 * (rng.uniform(0.8, 1.2) - contrast)
    mix[3, 3] = 1.0
    result = cv2.transform(cutout, mix).astype(np.uint8)
    if rng.random() < 0.5:
        result = np.ascontiguousarray(result[:, ::-1])
    if rng.random() < 0.5:
        result = _in_perspective(rng, result)
    if rng.random() < 0.12:
        sigma = rng.uniform(0.4, max(result.shape[:2]) * 0.012 + 0.5)
        result = cv2.GaussianBlur(result, (0, 0), sigma).astype(np.uint8)
    return trim(result)


def _in_perspective(rng: np.random.Generator, cutout: Cutout) -> Cutout:
    height, width = cutout.shape[:2]
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    moved = corners + (rng.uniform(-0.09, 0.09, (4, 2)) * (width, height)).astype(np.float32)
    moved -= moved.min(axis=0)
    size = tuple(int(v) + 1 for v in moved.max(axis=0))
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    return cv2.warpPerspective(cutout, matrix, size, flags=cv2.INTER_LINEAR).astype(np.uint8)
