"""YOLOv5 and YOLOv7: one output [B, N, 5+C]: middle x, y, width, height in pixels, objectness, C class scores.

Sources: `Detect.forward` in ultralytics/yolov5 `models/yolo.py` (sigmoid applied, pixels; three anchors at each
cell of strides 8, 16, 32), `non_max_suppression` in `utils/general.py` (score = objectness * class score) and
`LoadImages` / `detect.py` (RGB, divided by 255). WongKinYiu/yolov7 exports the same with `export.py --grid`,
meituan/YOLOv6 the same with one place at each cell and an objectness of 1.
"""

from __future__ import annotations

from typing import Final

from wildgate_build.importer.families.layout import CORNERS, Family, Layout, PictureFormat, TrialRun, head, predictions
from wildgate_build.standard_graph import output_graph

__all__ = ["EXPECTS", "layout", "recognised"]

EXPECTS: Final = "one output [B,N,5+C], N = 3 anchors at each cell of strides 8, 16, 32 (boxes decoded, in pixels)"

_BOX_AND_OBJECTNESS: Final = 5


def layout(trial: TrialRun) -> Layout | None:
    """The layout, where the sizes allow it."""
    rows = predictions(trial)
    if rows is None or rows.dims[2] <= _BOX_AND_OBJECTNESS:
        return None
    places, classes = rows.dims[1], rows.dims[2] - _BOX_AND_OBJECTNESS
    body = f"""middle, size, objectness, of_class = Split <axis = 2> (rows, parts)
        {CORNERS}
        scores = Mul (objectness, of_class)"""
    made = head(f"float[n,{places},{rows.dims[2]}] rows", places, classes, body, parts=(2, 2, 1, classes))
    return Layout(Family.YOLOV5, (rows.name,), places, classes, PictureFormat(), output_graph, made)


def recognised(trial: TrialRun) -> bool:
    """Whether the number of places is that of three anchors at each cell: no other family has so many."""
    found = layout(trial)
    return found is not None and trial.on_a_grid(found.places, anchors=(3,))
