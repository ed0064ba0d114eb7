"""End-to-end YOLO (YOLOv10, YOLO26): one output [B, N, 6]: x1, y1, x2, y2 in pixels, score, class index.

Sources: `v10Detect` / `Detect.postprocess` in ultralytics `nn/modules/head.py` (the best of all places and classes,
N = 300 unless told otherwise) and THU-MIG/yolov10, which exports the same; RGB, divided by 255. Such networks are
trained to report an object once, so nothing is suppressed, unless labels.txt merges classes: one place may be
listed under several of them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from onnx import ModelProto

from wildgate_build.importer.families.layout import (
    ONE_HOT,
    ONE_HOT_CONSTANTS,
    STRIDES,
    Layout,
    PictureFormat,
    Sighting,
    boxes_are_shares,
    cells,
    check_indices,
    fragment,
    listed_output,
)
from wildgate_build.importer.family import Family
from wildgate_build.standard_graph import Opset, ranking_graph

__all__ = ["EXPECTS", "layout", "recognised"]

EXPECTS: Final = "one output [B,N,6]: x1, y1, x2, y2, score, class"


def layout(sighting: Sighting) -> Layout | None:
    """The layout, where the sizes allow it.

    Raises LabelsError when a class index came out that labels.txt does not list.
    """
    seen = listed_output(sighting)
    if seen is None or boxes_are_shares(seen):
        return None
    places, classes = seen.dims[1], sighting.listed
    check_indices(seen.values[..., 5], classes)

    def head(opset: Opset, scale: float) -> ModelProto:
        return fragment(
            opset,
            f"""head (float[n,{places},6] rows)
                => (float[n,{places},4] boxes, float[n,{places},{classes}] scores)
            <int64[3] parts = {{4, 1, 1}}, float scale = {{{scale:.9f}}}, {ONE_HOT_CONSTANTS}>
            {{
                corner, score, index = Split <axis = 2> (rows, parts)
                boxes = Mul (corner, scale)
                {ONE_HOT}
            }}""",
            {"names": np.arange(classes, dtype=np.float32)[None, None]},
        )

    return Layout(Family.YOLO_END2END, (seen.name,), places, None, PictureFormat(), ranking_graph, head)


def recognised(sighting: Sighting) -> bool:
    """Whether the last column holds whole numbers, the boxes are in pixels, and the places are no grid's."""
    seen = listed_output(sighting)
    if seen is None or boxes_are_shares(seen):
        return False
    counts = [anchors * cells(sighting.side, strides) for strides in STRIDES for anchors in (1, 3)]
    return seen.dims[1] not in counts or "TopK" in seen.head
