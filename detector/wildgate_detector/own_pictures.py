"""A team's own pictures: COCO's boxes, or a folder with a folder of pictures for each label.

Part of the pictures, chosen by their content, is never trained on: the evaluation is made of it.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from wildgate_detector.labels import ANIMALS, NOTHING, UNSURE
from wildgate_detector.material import MOST_OBJECTS, Item, retouched
from wildgate_detector.scenes import letterboxed
from wildgate_detector.seeds import Purpose, stream
from wildgate_detector.surfaces import Picture

SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
WITHOUT_LABEL: Final = "-"
"""The folder of pictures that show no label."""
HELD_OUT: Final = 5
"""One picture of so many is held out."""


class OwnPicturesError(ValueError):
    """The data cannot be used; the text names the file and what is wrong with it."""


@dataclass(frozen=True)
class Marked:
    """A picture's file and what it shows: label and box (x1, y1, x2, y2 in pixels; None: the whole picture).

    What is `unsure` (COCO's crowds) is neither asked for nor held against the detector.
    """

    path: Path
    objects: tuple[tuple[str, tuple[float, float, float, float] | None], ...] = ()
    unsure: tuple[tuple[float, float, float, float], ...] = ()


@dataclass(frozen=True)
class OwnPictures:
    """The pictures that are `trained` on, those that are `held_out`, and the labels they show between them."""

    trained: tuple[Marked, ...]
    held_out: tuple[Marked, ...]
    labels: tuple[str, ...]

    @classmethod
    def read(cls, data: Path) -> "OwnPictures":
        """Read a COCO file, its pictures beside it, or a folder of labelled pictures.

        Raises:
            OwnPicturesError: there is nothing to learn from, or something is wrong with it.
        """
        marked = _of_folder(data) if data.is_dir() else _of_coco(data)
        labels = tuple(sorted({label for one in marked for label, _ in one.objects}))
        if not labels:
            raise OwnPicturesError(f"{data}: no picture shows a label")
        for label in labels:
            if label in ANIMALS:
                raise OwnPicturesError(f"{data}: {label} is a label of the body's own; name yours otherwise")
            if "," in label:
                raise OwnPicturesError(f"{data}: the label {label!r} has a comma")
        alike: dict[frozenset[str], list[Marked]] = {}
        for one in sorted(marked, key=lambda one: blake3(one.path.read_bytes()).digest()):
            alike.setdefault(frozenset(label for label, _ in one.objects), []).append(one)
        held_out = [one for some in alike.values() for one in some[1::HELD_OUT]]
        trained = [one for some in alike.values() for at, one in enumerate(some) if at % HELD_OUT != 1]
        for label in labels:
            for part, name in ((trained, "to train on"), (held_out, "to hold out")):
                if not any(label == known for one in part for known, _ in one.objects):
                    raise OwnPicturesError(f"{data}: too few pictures show {label}: none is left {name}")
        return cls(tuple(trained), tuple(held_out), labels)


@dataclass(frozen=True)
class Shown:
    """Shows `marked` pictures by number, over and over, each time retouched but for the first, `side` pixels large."""

    marked: tuple[Marked, ...]
    labels: tuple[str, ...]
    side: int
    seed: int = 0

    def __call__(self, first: int, last: int) -> Iterator[Item]:
        """The pictures `first` to before `last`; raises OwnPicturesError."""
        for index in range(first, last):
            item = _item(self.marked[index % len(self.marked)], self.labels, self.side)
            again = index >= len(self.marked)
            yield retouched(stream(Purpose.TRAIN, self.seed, index), item) if again else item


def read_picture(path: Path) -> Picture:
    """A picture in RGB; raises OwnPicturesError where it is none."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise OwnPicturesError(f"{path}: is not a picture that can be read")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8)


def _item(one: Marked, labels: tuple[str, ...], side: int) -> Item:
    picture = read_picture(one.path)
    height, width = picture.shape[:2]
    square, scale, left, top = letterboxed(picture, side)
    boxes = np.zeros((MOST_OBJECTS, 4), np.float32)
    named: NDArray[np.int64] = np.full(MOST_OBJECTS, NOTHING, np.int64)
    whole = (0.0, 0.0, float(width), float(height))
    objects = [(labels.index(label), box or whole) for label, box in one.objects]
    objects += [(UNSURE, box) for box in one.unsure]
    objects.sort(key=lambda known: (known[1][0] - known[1][2]) * (known[1][3] - known[1][1]))  # the largest first
    for at, (label, box) in enumerate(objects[:MOST_OBJECTS]):
        inside = np.clip(np.array(box), 0, np.array((width, height, width, height)))
        boxes[at], named[at] = inside * scale + np.array((left, top, left, top)), label
    return square, boxes, named


def _of_folder(folder: Path) -> list[Marked]:
    marked = []
    for path in sorted(folder.glob("*/*")):
        if path.suffix.lower() in SUFFIXES:
            label = path.parent.name
            marked.append(Marked(path, () if label == WITHOUT_LABEL else ((label, None),)))
    if not marked:
        raise OwnPicturesError(f"{folder}: has no LABEL/PICTURE ({', '.join(SUFFIXES)})")
    return marked


def _of_coco(file: Path) -> list[Marked]:
    try:
        content = json.loads(file.read_text())
        names = {category["id"]: str(category["name"]) for category in content["categories"]}
        objects: dict[object, list[tuple[str, tuple[float, float, float, float] | None]]] = {}
        unsure: dict[object, list[tuple[float, float, float, float]]] = {}
        for entry in content["annotations"]:
            box = _box(entry)
            if entry.get("iscrowd"):
                unsure.setdefault(entry["image_id"], []).append(box)
            else:
                objects.setdefault(entry["image_id"], []).append((names[entry["category_id"]], box))
        marked = [
            Marked(
                _beside(file, str(image["file_name"])),
                tuple(objects.pop(image["id"], ())),
                tuple(unsure.pop(image["id"], ())),
            )
            for image in content["images"]
        ]
    except FileNotFoundError:
        raise OwnPicturesError(f"{file}: there is no such file or folder") from None
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, OwnPicturesError):
            raise
        raise OwnPicturesError(f"{file}: is not in COCO's format: {type(error).__name__} {error}") from error
    if objects or unsure:
        raise OwnPicturesError(f"{file}: has annotations of pictures that it does not list")
    return marked


def _box(entry: Mapping[str, Any]) -> tuple[float, float, float, float]:
    x, y, width, height = (float(value) for value in entry["bbox"])
    if not all(map(math.isfinite, (x, y, width, height))) or width <= 0 or height <= 0:
        raise ValueError(f"annotation {entry.get('id')} has the box {entry['bbox']}")
    return x, y, x + width, y + height


def _beside(file: Path, name: str) -> Path:
    """The picture `name` below the folder of `file`, and nowhere else."""
    path = (file.parent / name).resolve()
    if not path.is_relative_to(file.parent.resolve()):
        raise OwnPicturesError(f"{file}: {name} is outside of its folder")
    if not path.is_file():
        raise OwnPicturesError(f"{file}: there is no picture {name} beside it")
    return path
