"""YOLOv5 and YOLOv7: one output [B, N, 5+C]: middle x, y, width, height in pixels, objectness, C class scores.

Sources: `Detect.forward` in ultralytics/yolov5 `models/yolo.py` (sigmoid applied, pixels; three anchors at each
cell of strides 8, 16, 32), `non_max_suppression` in `utils/general.py` (score = objectness * class score) and
`LoadImages` / `detect.py` (RGB, divided by 255). WongKinYiu/yolov7 exports the same with `export.py --grid`,
meituan/YOLOv6 the same with one place at each cell and an objectness of 1.
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

EXPECTS: Final = "one output [B,N,5+C], N = 3 anchors at each cell of strides 8, 16, 32 (boxes decoded, in pixels)"

_BOX_AND_OBJECTNESS: Final = 5
_ANCHORS: Final = 3


def layout(sighting: Sighting) -> Layout | None:
    """The layout, where the sizes allow it."""
    seen = _predictions(sighting)
    if seen is None:
        return None
    places, classes = seen.dims[1], seen.dims[2] - _BOX_AND_OBJECTNESS

    def head(opset: Opset, scale: float) -> ModelProto:
        return fragment(
            opset,
            f"""head (float[n,{places},{seen.dims[2]}] rows)
                => (float[n,{places},4] boxes, float[n,{places},{classes}] scores)
            <int64[4] parts = {{2, 2, 1, {classes}}}, float half = {{0.5}}, float scale = {{{scale:.9f}}}>
            {{
                middle, size, objectness, of_class = Split <axis = 2> (rows, parts)
                {corners("middle", "size", "scale")}
                scores = Mul (objectness, of_class)
            }}""",
        )

    return Layout(Family.YOLOV5, (seen.name,), places, classes, PictureFormat(), output_graph, head)


def recognised(sighting: Sighting) -> bool:
    """Whether the number of places is that of three anchors at each cell: no other family has so many."""
    seen = _predictions(sighting)
    return seen is not None and any(seen.dims[1] == _ANCHORS * cells(sighting.side, strides) for strides in STRIDES)


def _predictions(sighting: Sighting) -> Seen | None:
    """The output of rank 3; YOLOv5 may export its raw feature maps, of rank 5, besides it."""
    flat = [seen for seen in sighting.outputs if seen.is_float and len(seen.dims) == 3]
    fits = len(flat) == 1 and flat[0].dims[2] > _BOX_AND_OBJECTNESS
    return flat[0] if fits else None
