"""YOLOX: one output [B, N, 5+C], the box still to be decoded on the grid; objectness and class scores are ready.

Sources, in Megvii-BaseDetection/YOLOX: `yolox/models/yolo_head.py` (sigmoid of objectness and classes in the
network), `demo_postprocess` in `yolox/utils/demo_utils.py` (middle = (x, y + cell) * stride, size = exp(w, h) *
stride over strides 8, 16, 32, or 64 as well), `demo/ONNXRuntime/onnx_inference.py` and `ValTransform` (BGR as
OpenCV reads it, values 0 to 255, no normalisation since release 0.1.1; the legacy weights before it want
imagenet values). With `export_onnx.py --decode_in_inference` the decoding is in the network already.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from wildgate_build.importer.families.layout import (
    CORNERS,
    GRIDS,
    Family,
    Layout,
    PictureFormat,
    TrialRun,
    cells,
    head,
    predictions,
)
from wildgate_build.standard_graph import output_graph

__all__ = ["EXPECTS", "layout", "recognised"]

EXPECTS: Final = "one output [B,N,5+C], N = one place at each cell of strides 8, 16, 32 (boxes on the grid or decoded)"

_BOX_AND_OBJECTNESS: Final = 5
_GRIDS: Final = GRIDS[:2]
_ARITHMETIC: Final = frozenset(("Add", "Sub", "Mul", "Div", "Pow", "Exp"))
_DECODED: Final = "middle, size, objectness, of_class = Split <axis = 2> (rows, parts)"
_ON_THE_GRID: Final = """at, extent, objectness, of_class = Split <axis = 2> (rows, parts)
        shifted = Add (at, grid)
        middle = Mul (shifted, stride)
        grown = Exp (extent)
        size = Mul (grown, stride)"""


def layout(trial: TrialRun) -> Layout | None:
    """The layout, where the sizes allow it."""
    rows = predictions(trial)
    strides = next((s for s in _GRIDS if rows is not None and rows.dims[1] == cells(trial.side, s)), None)
    if rows is None or strides is None or rows.dims[2] <= _BOX_AND_OBJECTNESS:
        return None
    places, classes = rows.dims[1], rows.dims[2] - _BOX_AND_OBJECTNESS
    decoded = "Exp" in rows.head
    body = f"""{_DECODED if decoded else _ON_THE_GRID}
        {CORNERS}
        scores = Mul (objectness, of_class)"""
    grid, stride = _grid(trial.side, strides)
    inputs = f"float[n,{places},{rows.dims[2]}] rows"
    made = head(inputs, places, classes, body, parts=(2, 2, 1, classes), grid=grid, stride=stride)
    note = "the network decodes its boxes itself" if decoded else f"boxes are decoded on the grid of strides {strides}"
    pictures = PictureFormat("bgr", "0-255")
    return Layout(Family.YOLOX, (rows.name,), places, classes, pictures, output_graph, made, (note,))


def recognised(trial: TrialRun) -> bool:
    """Whether there is one place at each cell, and the boxes come raw or through the exponential function.

    YOLOv6 has as many places, and decodes its boxes by adding distances: that one is left to the user to name.
    """
    rows = predictions(trial)
    if rows is None or layout(trial) is None or rows.dims[2] in [cells(trial.side, strides) for strides in _GRIDS]:
        return False
    return "Exp" in rows.head or not _ARITHMETIC & rows.head


def _grid(side: int, strides: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The cell of each place [1, N, 2] (x, y) and its stride [1, N, 1], map by map, row by row."""
    places, sizes = [], []
    for stride in strides:
        y, x = np.divmod(np.arange((side // stride) ** 2), side // stride)
        places.append(np.stack((x, y), axis=1))
        sizes.append(np.full((len(x), 1), stride))
    return np.concatenate(places)[None].astype(np.float32), np.concatenate(sizes)[None].astype(np.float32)
