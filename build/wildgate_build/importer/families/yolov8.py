"""YOLOv8, YOLOv9, YOLO11 (and YOLOv5u, YOLOv6u): one output [B, 4+C, N]: x, y, width, height, C class scores.

Sources: `Detect._inference` in ultralytics `nn/modules/head.py` (boxes as middle and size in pixels, class scores
after the sigmoid, no objectness; one place at each cell of strides 8, 16, 32), `non_max_suppression` in
`utils/nms.py`, and `BasePredictor.preprocess` (RGB, divided by 255). WongKinYiu/yolov9 exports the same.
"""

from __future__ import annotations

from typing import Final

from onnx import ModelProto

from wildgate_build.importer.families.layout import (
    STRIDES,
    Layout,
    PictureFormat,
    Sighting,
    cells,
    corners,
    fragment,
)
from wildgate_build.importer.family import Family
from wildgate_build.importer.network import Seen
from wildgate_build.standard_graph import Opset, output_graph

__all__ = ["EXPECTS", "layout", "recognised"]

EXPECTS: Final = "one output [B,4+C,N], N = one place at each cell of strides 8, 16, 32"

_BOX: Final = 4


def layout(sighting: Sighting) -> Layout | None:
    """The layout, where the sizes allow it."""
    seen = _predictions(sighting)
    if seen is None:
        return None
    classes, places = seen.dims[1] - _BOX, seen.dims[2]

    def head(opset: Opset, scale: float) -> ModelProto:
        return fragment(
            opset,
            f"""head (float[n,{seen.dims[1]},{places}] columns)
                => (float[n,{places},4] boxes, float[n,{places},{classes}] scores)
            <int64[3] parts = {{2, 2, {classes}}}, float half = {{0.5}}, float scale = {{{scale:.9f}}}>
            {{
                rows = Transpose <perm = [0, 2, 1]> (columns)
                middle, size, scores = Split <axis = 2> (rows, parts)
                {corners("middle", "size", "scale")}
            }}""",
        )

    return Layout(Family.YOLOV8, (seen.name,), places, classes, PictureFormat(), output_graph, head)


def recognised(sighting: Sighting) -> bool:
    """Whether the last axis is as long as there are cells, and the one before is not."""
    seen = _predictions(sighting)
    counts = [cells(sighting.side, strides) for strides in STRIDES]
    return seen is not None and seen.dims[2] in counts and seen.dims[1] not in counts


def _predictions(sighting: Sighting) -> Seen | None:
    flat = [seen for seen in sighting.outputs if seen.is_float and len(seen.dims) == 3]
    fits = len(flat) == 1 and flat[0].dims[1] > _BOX
    return flat[0] if fits else None
