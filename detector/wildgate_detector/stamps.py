"""Photographic cut-outs from the Debian package `tuxpaint-stamps-default` (GPL-2)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from wildgate_detector.labels import LIVE_STAMPS

Cutout = NDArray[np.uint8]
"""An RGBA picture, [height, width, 4], straight (not premultiplied) alpha, trimmed to what is visible."""

STAMPS_FOLDER: Final = Path("/usr/share/tuxpaint/stamps")
"""Where the Debian package puts its files."""

DISTRACTOR_FOLDERS: Final[tuple[str, ...]] = (
    "animals",
    "food",
    "household",
    "plants",
    "vehicles",
    "clothes",
    "hobbies",
    "sports",
    "medical",
    "space",
    "town",
    "seasonal",
)

TOO_LIKE_A_LABEL: Final[frozenset[str]] = frozenset(
    {"teddy_bear", "edward_bear", "lion", "rhino_black", "seahorse", "quetzal"}
)
"""Drawings and toys of a labelled animal, and listed animals without a label: neither an example of one nor fairly
called a mistake."""


class StampsMissingError(RuntimeError):
    """The stamps are not installed. The message holds the command that installs them."""


@dataclass(frozen=True)
class Stamps:
    """All cut-outs: `labelled` by label, and `distractors`, which no label covers."""

    labelled: dict[str, list[Cutout]] = field(repr=False)
    distractors: list[Cutout] = field(repr=False)
    animals: list[Cutout] = field(repr=False)
    banana: Cutout = field(repr=False)

    def at_most(self, side: int) -> "Stamps":
        """The same cut-outs, the larger ones shrunk to `side` pixels."""
        return Stamps(
            {label: [_shrunk(cutout, side) for cutout in some] for label, some in self.labelled.items()},
            [_shrunk(cutout, side) for cutout in self.distractors],
            [_shrunk(cutout, side) for cutout in self.animals],
            _shrunk(self.banana, side),
        )


def _shrunk(cutout: Cutout, side: int) -> Cutout:
    share = side / max(cutout.shape[:2])
    if share >= 1:
        return cutout
    return cv2.resize(cutout, None, fx=share, fy=share, interpolation=cv2.INTER_AREA).astype(np.uint8)


def trim(cutout: Cutout, threshold: int = 24) -> Cutout:
    """Cut away the margin in which alpha stays below `threshold` (0 to 255)."""
    rows = np.flatnonzero((cutout[..., 3] >= threshold).any(axis=1))
    columns = np.flatnonzero((cutout[..., 3] >= threshold).any(axis=0))
    if rows.size == 0:
        raise ValueError("nothing in the cut-out is visible")
    return cutout[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()


def read_cutout(path: Path) -> Cutout:
    """Read a PNG as a trimmed RGBA cut-out.

    Raises:
        ValueError: the file is not a picture, or nothing in it is visible.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise ValueError(f"not a picture: {path}")
    if picture.dtype != np.uint8:
        picture = (picture / 257).astype(np.uint8)
    if picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGRA)
    elif picture.shape[2] == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA)
    return trim(cv2.cvtColor(picture, cv2.COLOR_BGRA2RGBA).astype(np.uint8))


def load_stamps(folder: Path = STAMPS_FOLDER) -> Stamps:
    """Load every cut-out the recipe uses, in a fixed order.

    Raises:
        StampsMissingError: the package is not installed.
    """
    first = folder / "animals/mammals/elephant.png"
    if not first.is_file():
        raise StampsMissingError(
            f"no stamps below {folder}; install them with: apt-get install tuxpaint-stamps-default"
        )
    labelled = {label: [read_cutout(folder / f"{name}.png") for name in names] for label, names in LIVE_STAMPS.items()}
    taken = {folder / f"{name}.png" for names in LIVE_STAMPS.values() for name in names}
    distractors: list[Cutout] = []
    animals: list[Cutout] = []
    for group in DISTRACTOR_FOLDERS:
        for path in sorted((folder / group).rglob("*.png")):
            if path in taken or path.stem in TOO_LIKE_A_LABEL or "flags" in path.parts:
                continue
            cutout = read_cutout(path)
            if min(cutout.shape[:2]) < 24:
                continue
            drawn = "cartoon" in path.parts
            (animals if group == "animals" and not drawn else distractors).append(cutout)
    return Stamps(labelled, distractors, animals, read_cutout(folder / "food/fruit/banana.png"))
