"""What every family says of a network: how to feed it, where its boxes and scores are, how to choose from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from wildgate_build.importer.errors import LabelsError
from wildgate_build.importer.family import Family
from wildgate_build.importer.network import Seen
from wildgate_build.standard_graph import Opset, Selection

__all__ = [
    "ONE_HOT",
    "ONE_HOT_CONSTANTS",
    "STRIDES",
    "Head",
    "Layout",
    "PictureFormat",
    "Sighting",
    "boxes_are_shares",
    "cells",
    "check_indices",
    "corners",
    "fragment",
    "listed_output",
]

# Strides of the feature maps that YOLO heads are built on: usual, with P6, with P2, of the tiny ones.
STRIDES: Final = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))

# In ONNX's text format: `score` and `index` [n, N, 1] to `scores` [n, N, C], zero but in the column of the index.
ONE_HOT_CONSTANTS: Final = "float near = {0.5}"
ONE_HOT: Final = """gap = Sub (index, names)
            distance = Abs (gap)
            here = Less (distance, near)
            heref = Cast <to = 1> (here)
            scores = Mul (score, heref)"""


@dataclass(frozen=True)
class PictureFormat:
    """What the network wants its pictures to be.

    `channels` is rgb or bgr. `values` is 0-1 (divided by 255), 0-255, or imagenet (0-1, then less the mean
    0.485, 0.456, 0.406 and divided by 0.229, 0.224, 0.225 of R, G, B).
    """

    channels: str = "rgb"
    values: str = "0-1"


@dataclass(frozen=True)
class Sighting:
    """A network's outputs as they came out of a run, and what is known besides.

    `side` is the network's own, in pixels; `listed` is how many classes labels.txt has; `activation` is what the
    user said of DETR scores: auto, sigmoid or softmax.
    """

    outputs: tuple[Seen, ...]
    side: int
    listed: int
    activation: str = "auto"


Head = Callable[[Opset, float], ModelProto]


@dataclass(frozen=True)
class Layout:
    """Where a network's detections are.

    `outputs` are the names of the outputs used, in the order of the head's inputs. `head` makes the graph from
    these (float32) to `boxes` [n, places, 4] (x1, y1, x2, y2) and `scores` [n, places, classes] from 0 to 1; its
    float argument scales the network's pixels to those of the frames. `classes` is None where the layout does
    not tell how many there are; the head then makes `listed` columns. `notes` are for the user to read.
    """

    family: Family
    outputs: tuple[str, ...]
    places: int
    classes: int | None
    pictures: PictureFormat
    selection: Selection
    head: Head
    notes: tuple[str, ...] = ()


def cells(side: int, strides: tuple[int, ...]) -> int:
    """How many cells feature maps of these strides have together, for a square picture of `side` pixels."""
    return sum((side // stride) ** 2 for stride in strides)


def corners(middle: str, size: str, scale: str) -> str:
    """In ONNX's text format: middles and sizes [n, N, 2] to `boxes`. Needs the initializer `half` of 0.5."""
    return f"""reach = Mul ({size}, half)
            low = Sub ({middle}, reach)
            high = Add ({middle}, reach)
            corner = Concat <axis = 2> (low, high)
            boxes = Mul (corner, {scale})"""


def fragment(opset: Opset, graph: str, constants: Mapping[str, NDArray[np.generic]] | None = None) -> ModelProto:
    """The model that `graph`, in ONNX's text format, describes, with `constants` as more initializers."""
    model = opset.parse(graph)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in (constants or {}).items())
    return model


def check_indices(indices: NDArray[np.generic], listed: int) -> None:
    """Raises LabelsError when a class index is not among the classes that labels.txt lists."""
    if (most := int(np.asarray(indices).max())) >= listed:
        raise LabelsError(f"labels.txt lists {listed} classes, the network gave the class index {most}")


def listed_output(sighting: Sighting) -> Seen | None:
    """The only output, where it is [B, N, 6] with a class index, a whole number, in its last column."""
    flat = [seen for seen in sighting.outputs if seen.is_float]
    if len(flat) != 1 or len(flat[0].dims) != 3 or flat[0].dims[2] != 6:
        return None
    index = flat[0].values[..., 5].astype(np.float64)
    return flat[0] if bool((index == np.round(index)).all() and (index >= 0).all()) else None


def boxes_are_shares(seen: Seen) -> bool:
    """Whether the first four columns are shares of the picture, all from 0 to 1, and so no pixels."""
    boxes = seen.values[..., :4].astype(np.float64)
    return bool((boxes >= 0).all() and (boxes <= 1).all())
