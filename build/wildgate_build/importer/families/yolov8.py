"""YOLOv8, YOLOv9, YOLO11 (and YOLOv5u, YOLOv6u): one output [B, 4+C, N]: x, y, width, height, C class scores.

Sources: `Detect._inference` in ultralytics `nn/modules/head.py` (boxes as middle and size in pixels, class scores
after the sigmoid, no objectness; one place at each cell of strides 8, 16, 32), `non_max_suppression` in
`utils/nms.py`, and `BasePredictor.preprocess` (RGB, divided by 255). WongKinYiu/yolov9 exports the same.
"""

from __future__ import annotations

from typing import Final

from wildgate_build.importer.families.layout import CORNERS, Family, Layout, PictureFormat, TrialRun, head, predictions
from wildgate_build.standard_graph import output_graph

__all__ = ["EXPECTS", "layout", "recognised"]

EXPECTS: Final = "one output [B,4+C,N], N = one place at each cell of strides 8, 16, 32"

_BOX: Final = 4


def layout(trial: TrialRun) -> Layout | None:
    """The layout, where the sizes allow it."""
    columns = predictions(trial)
    if columns is None or columns.dims[1] <= _BOX:
        return None
    classes, places = columns.dims[1] - _BOX, columns.dims[2]
    body = f"""rows = Transpose <perm = [0, 2, 1]> (columns)
        middle, size, scores = Split <axis = 2> (rows, parts)
        {CORNERS}"""
    made = head(f"float[n,{columns.dims[1]},{places}] columns", places, classes, body, parts=(2, 2, classes))
    return Layout(Family.YOLOV8, (columns.name,), places, classes, PictureFormat(), output_graph, made)


def recognised(trial: TrialRun) -> bool:
    """Whether the last axis is as long as there are cells, and the one before is not."""
    columns = predictions(trial)
    return (
        columns is not None
        and columns.dims[1] > _BOX
        and trial.on_a_grid(columns.dims[2], anchors=(1,))
        and not trial.on_a_grid(columns.dims[1], anchors=(1,))
    )
