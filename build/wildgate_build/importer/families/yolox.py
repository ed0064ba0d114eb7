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
from onnx import ModelProto

from wildgate_build.importer.families.layout import Layout, PictureFormat, Sighting, cells, corners, fragment
from wildgate_build.importer.family import Family
from wildgate_build.importer.network import Seen
from wildgate_build.standard_graph import Opset, output_graph

__all__ = ["EXPECTS", "layout", "recognised"]

EXPECTS: Final = "one output [B,N,5+C], N = one place at each cell of strides 8, 16, 32 (boxes on the grid or decoded)"

_BOX_AND_OBJECTNESS: Final = 5
_STRIDES: Final = ((8, 16, 32), (8, 16, 32, 64))
_ARITHMETIC: Final = frozenset(("Add", "Sub", "Mul", "Div", "Pow", "Exp"))


def layout(sighting: Sighting) -> Layout | None:
    """The layout, where the sizes allow it."""
    seen, strides = _predictions(sighting), _strides(sighting)
    if seen is None or strides is None:
        return None
    places, classes = seen.dims[1], seen.dims[2] - _BOX_AND_OBJECTNESS
    decoded = "Exp" in seen.head
    grid, stride = _grid(sighting.side, strides)
    decoding = (
        "middle = Identity (at)\n size = Identity (extent)"
        if decoded
        else """shifted = Add (at, grid)
                middle = Mul (shifted, stride)
                grown = Exp (extent)
                size = Mul (grown, stride)"""
    )

    def head(opset: Opset, scale: float) -> ModelProto:
        return fragment(
            opset,
            f"""head (float[n,{places},{seen.dims[2]}] rows)
                => (float[n,{places},4] boxes, float[n,{places},{classes}] scores)
            <int64[4] parts = {{2, 2, 1, {classes}}}, float half = {{0.5}}, float scale = {{{scale:.9f}}}>
            {{
                at, extent, objectness, of_class = Split <axis = 2> (rows, parts)
                {decoding}
                {corners("middle", "size", "scale")}
                scores = Mul (objectness, of_class)
            }}""",
            {} if decoded else {"grid": grid, "stride": stride},
        )

    note = "the network decodes its boxes itself" if decoded else f"boxes are decoded on the grid of strides {strides}"
    pictures = PictureFormat("bgr", "0-255")
    return Layout(Family.YOLOX, (seen.name,), places, classes, pictures, output_graph, head, (note,))


def recognised(sighting: Sighting) -> bool:
    """Whether there is one place at each cell, and the boxes come raw or through the exponential function.

    YOLOv6 has as many places, and decodes its boxes by adding distances: that one is left to the user to name.
    """
    seen = _predictions(sighting)
    return (
        seen is not None
        and _strides(sighting) is not None
        and seen.dims[2] not in [cells(sighting.side, strides) for strides in _STRIDES]
        and ("Exp" in seen.head or not _ARITHMETIC & seen.head)
    )


def _predictions(sighting: Sighting) -> Seen | None:
    flat = [seen for seen in sighting.outputs if seen.is_float]
    fits = len(flat) == 1 and len(flat[0].dims) == 3 and flat[0].dims[2] > _BOX_AND_OBJECTNESS
    return flat[0] if fits else None


def _strides(sighting: Sighting) -> tuple[int, ...] | None:
    seen = _predictions(sighting)
    return next((s for s in _STRIDES if seen is not None and seen.dims[1] == cells(sighting.side, s)), None)


def _grid(side: int, strides: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The cell of each place [1, N, 2] (x, y) and its stride [1, N, 1], map by map, row by row."""
    places, sizes = [], []
    for stride in strides:
        y, x = np.divmod(np.arange((side // stride) ** 2), side // stride)
        places.append(np.stack((x, y), axis=1))
        sizes.append(np.full((len(x), 1), stride))
    return np.concatenate(places)[None].astype(np.float32), np.concatenate(sizes)[None].astype(np.float32)
