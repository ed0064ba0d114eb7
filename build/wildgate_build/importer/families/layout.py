"""The layout of a network's inputs and outputs, and the building blocks of the families' heads."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from wildgate_build.errors import ImportRefusedError
from wildgate_build.importer.network import Output
from wildgate_build.standard_graph import Opset, Selection

__all__ = [
    "CORNERS",
    "GRIDS",
    "ONE_HOT",
    "Family",
    "Head",
    "Layout",
    "PictureFormat",
    "TrialRun",
    "boxes_are_shares",
    "cells",
    "check_indices",
    "fragment",
    "head",
    "listed_output",
    "predictions",
]

GRIDS: Final = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
"""Strides of the feature maps that YOLO heads are built on: usual, with P6, with P2, of the tiny ones."""

CORNERS: Final = """reach = Mul (size, half)
    low = Sub (middle, reach)
    high = Add (middle, reach)
    corner = Concat <axis = 2> (low, high)
    boxes = Mul (corner, scale)"""
"""In ONNX's text format: `middle` and `size` [n, N, 2] to `boxes`; for the body of a `head`."""
ONE_HOT: Final = """gap = Sub (index, names)
    distance = Abs (gap)
    here = Less (distance, half)
    heref = Cast <to = 1> (here)
    scores = Mul (score, heref)"""
"""The same: `score` and `index` [n, N, 1] to `scores` [n, N, C], zero but in the column of the index."""


class Family(StrEnum):
    """Networks with the same layout of outputs; `auto` detects it, `standard` is already a standard graph."""

    AUTO = "auto"
    YOLOV5 = "yolov5"
    YOLOV8 = "yolov8"
    YOLOX = "yolox"
    YOLO_END2END = "yolo-end2end"
    DETR = "detr"
    STANDARD = "standard"


@dataclass(frozen=True)
class PictureFormat:
    """The pictures that the network takes.

    `channels` is rgb or bgr. `values` is 0-1 (divided by 255), 0-255, or imagenet (0-1, then less the mean
    0.485, 0.456, 0.406 and divided by 0.229, 0.224, 0.225 of R, G, B).
    """

    channels: str = "rgb"
    values: str = "0-1"


@dataclass(frozen=True)
class TrialRun:
    """The outputs of a network that was run once, and what else is known.

    `side` is the network's own, in pixels; `listed` is how many classes labels.txt has; `activation` is what the
    user said of DETR scores: auto, sigmoid or softmax.
    """

    outputs: tuple[Output, ...]
    side: int
    listed: int
    activation: str = "auto"

    def on_a_grid(self, places: int, anchors: tuple[int, ...] = (1, 3)) -> bool:
        """Whether the number of places is that of one, or three, at each cell of a usual grid."""
        return any(places == each * cells(self.side, strides) for strides in GRIDS for each in anchors)


Head = Callable[[Opset, float], ModelProto]


@dataclass(frozen=True)
class Layout:
    """Where a network's detections are.

    `outputs` are the names of the outputs used, in the order of the head's inputs. `head` makes the graph from
    these (float32) to `boxes` [n, places, 4] (x1, y1, x2, y2) and `scores` [n, places, classes] from 0 to 1; its
    float argument scales the network's pixels to those of the frames. `classes` is None where the layout does
    not tell how many there are; the head then makes as many columns as labels.txt lists. `notes` are for the user.
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
    """The number of cells of feature maps with these strides, for a square picture of `side` pixels."""
    return sum((side // stride) ** 2 for stride in strides)


def fragment(opset: Opset, graph: str, constants: Mapping[str, NDArray[np.generic]]) -> ModelProto:
    """The model that `graph`, in ONNX's text format, describes, with those `constants` that it names."""
    model = opset.parse(graph)
    named = set(re.findall(r"\w+", graph))
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in constants.items() if name in named
    )
    return model


def head(
    inputs: str, places: int, classes: int, body: str, *, parts: tuple[int, ...] = (), unit: float = 1.0, **more: object
) -> Head:
    """The head with this `body` in ONNX's text format.

    The body may name the constants `parts` (sizes for a Split), `scale`, `half` (0.5), `last` (the last axis), `names`
    (the class indices) and `more`. `unit` is the number of the network's pixels that its boxes call 1.
    """
    constants: dict[str, NDArray[np.generic]] = {
        "parts": np.array(parts, np.int64),
        "half": np.array(0.5, np.float32),
        "last": np.array([2], np.int64),
        "names": np.arange(classes, dtype=np.float32)[None, None],
        **{name: np.asarray(value) for name, value in more.items()},
    }
    text = f"head ({inputs}) => (float[n,{places},4] boxes, float[n,{places},{classes}] scores) {{ {body} }}"
    return lambda opset, scale: fragment(opset, text, {**constants, "scale": np.array(scale * unit, np.float32)})


def predictions(trial: TrialRun) -> Output | None:
    """The only floating-point output of rank 3; there may be raw feature maps of rank 4 or 5 as well."""
    flat = [output for output in trial.outputs if output.is_float and len(output.dims) == 3]
    return flat[0] if len(flat) == 1 else None


def listed_output(trial: TrialRun) -> Output | None:
    """The predictions, where they are [B, N, 6] with a class index, a whole number, in the last column."""
    output = predictions(trial)
    if output is None or output.dims[2] != 6:
        return None
    index = output.values[..., 5].astype(np.float64)
    return output if bool((index == np.round(index)).all() and (index >= 0).all()) else None


def boxes_are_shares(output: Output) -> bool:
    """Whether the first four columns are shares of the picture, all from 0 to 1, and so not pixels."""
    boxes = output.values[..., :4].astype(np.float64)
    return bool((boxes >= 0).all() and (boxes <= 1).all())


def check_indices(indices: NDArray[np.generic], trial: TrialRun) -> None:
    """Raises ImportRefusedError for a class index that labels.txt does not list."""
    if (most := int(np.asarray(indices).max())) >= trial.listed:
        raise ImportRefusedError(f"labels.txt lists {trial.listed} classes, the network gave the class index {most}")
