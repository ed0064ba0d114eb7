"""End-to-end YOLO (YOLOv10, YOLO26): one output [B, N, 6]: x1, y1, x2, y2 in pixels, score, class index.

Sources: `v10Detect` / `Detect.postprocess` in ultralytics `nn/modules/head.py` (the best of all places and classes,
N = 300 unless told otherwise) and THU-MIG/yolov10, which exports the same; RGB, divided by 255. Such networks are
trained to report an object once, so nothing is suppressed, unless labels.txt merges classes: one place may be
listed under several of them.
"""

from __future__ import annotations

from typing import Final

from wildgate_build.importer.families.layout import (
    ONE_HOT,
    Family,
    Layout,
    PictureFormat,
    TrialRun,
    boxes_are_shares,
    check_indices,
    head,
    listed_output,
)
from wildgate_build.standard_graph import ranking_graph

__all__ = ["EXPECTS", "layout", "recognised"]

EXPECTS: Final = "one output [B,N,6]: x1, y1, x2, y2, score, class"


def layout(trial: TrialRun) -> Layout | None:
    """The layout, where the sizes allow it. Raises ImportRefusedError for a class index that is not listed."""
    rows = listed_output(trial)
    if rows is None or boxes_are_shares(rows):
        return None
    check_indices(rows.values[..., 5], trial)
    places = rows.dims[1]
    body = f"""corner, score, index = Split <axis = 2> (rows, parts)
        boxes = Mul (corner, scale)
        {ONE_HOT}"""
    made = head(f"float[n,{places},6] rows", places, trial.listed, body, parts=(4, 1, 1))
    return Layout(Family.YOLO_END2END, (rows.name,), places, None, PictureFormat(), ranking_graph, made)


def recognised(trial: TrialRun) -> bool:
    """Whether the last column holds whole numbers, the boxes are in pixels, and the places are not a grid's."""
    rows = listed_output(trial)
    if rows is None or boxes_are_shares(rows):
        return False
    return not trial.on_a_grid(rows.dims[1]) or "TopK" in rows.head
