"""The DETR family: DETR, Deformable DETR, RT-DETR, D-FINE and their like, in the four forms they are exported in.

1. Raw: logits [B, Q, C] and boxes [B, Q, 4] as middle x, y, width, height from 0 to 1 (`pred_logits` and `pred_boxes`
   of facebookresearch/detr `models/detr.py`; `logits` and `pred_boxes` of Hugging Face). RT-DETR, D-FINE and
   Deformable DETR score by sigmoid (focal loss); DETR by softmax over C+1, the last of them "no object".
2. Deploy: labels [B, Q], boxes [B, Q, 4] as x1, y1, x2, y2 in units of orig_target_sizes, scores [B, Q]
   (`tools/export_onnx.py` and `RTDETRPostProcessor` of lyuwenyu/RT-DETR; Peterande/D-FINE exports the same).
3. Joined: one output [B, Q, 4+C], box from 0 to 1, scores after the sigmoid (`RTDETRDecoder` of ultralytics 8.3).
4. Listed: one output [B, Q, 6], box as in 3, then score and class index (the same since ultralytics 8.4).

The post-processing of all of them takes the best of all queries and classes, without suppression. RT-DETR and
D-FINE want RGB divided by 255 and no more (`ToTensor` in their `onnx_inf.py`); DETR wants imagenet values
(`datasets/coco.py`).
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
    corners,
    fragment,
    listed_output,
)
from wildgate_build.importer.family import Family
from wildgate_build.importer.network import Seen
from wildgate_build.standard_graph import Opset, ranking_graph

__all__ = ["EXPECTS", "layout", "recognised"]

EXPECTS: Final = (
    "logits [B,Q,C] and boxes [B,Q,4]; or labels [B,Q], boxes [B,Q,4] and scores [B,Q]; "
    "or one output [B,Q,4+C] or [B,Q,6] with boxes from 0 to 1"
)

_BOX: Final = 4
_FOCAL_SIGNS: Final = frozenset(
    ("TopK", "GridSample")
)  # query selection, deformable attention: both came with focal loss


def layout(sighting: Sighting) -> Layout | None:
    """The layout, where the sizes allow it.

    Raises LabelsError when a class index came out that labels.txt does not list.
    """
    return _raw(sighting) or _deploy(sighting) or _listed(sighting) or _joined(sighting)


def recognised(sighting: Sighting) -> bool:
    """Whether there are outputs as of the first two forms, or one with a TopK (query selection) and no grid."""
    if any(form(sighting) is not None for form in (_raw, _deploy, _listed)):
        return True
    found = _joined(sighting)
    seen = next((seen for seen in sighting.outputs if found is not None and seen.name == found.outputs[0]), None)
    counts = [anchors * cells(sighting.side, strides) for strides in STRIDES for anchors in (1, 3)]
    return seen is not None and "TopK" in seen.head and seen.dims[1] not in counts and seen.dims[2] not in counts


def _raw(sighting: Sighting) -> Layout | None:
    pair = _logits_and_boxes(sighting)
    if pair is None:
        return None
    logits, boxes = pair
    queries, columns = logits.dims[1:]
    softmax, notes = _is_softmax(sighting, logits)
    classes = columns - 1 if softmax else columns
    scoring = (
        """every = Softmax <axis = 2> (logits)
                scores, nothing = Split <axis = 2> (every, known)"""
        if softmax
        else "scores = Sigmoid (logits)"
    )

    def head(opset: Opset, scale: float) -> ModelProto:
        return fragment(
            opset,
            f"""head (float[n,{queries},{columns}] logits, float[n,{queries},4] shares)
                => (float[n,{queries},4] boxes, float[n,{queries},{classes}] scores)
            <int64[2] pair = {{2, 2}}, int64[2] known = {{{classes}, 1}}, float half = {{0.5}},
             float side = {{{scale * sighting.side:.9f}}}>
            {{
                middle, size = Split <axis = 2> (shares, pair)
                {corners("middle", "size", "side")}
                {scoring}
            }}""",
        )

    pictures = PictureFormat(values="imagenet" if softmax else "0-1")
    names = (logits.name, boxes.name)
    return Layout(Family.DETR, names, queries, classes, pictures, ranking_graph, head, notes)


def _deploy(sighting: Sighting) -> Layout | None:
    by_name = {seen.name: seen for seen in sighting.outputs}
    if not {"labels", "boxes", "scores"} <= by_name.keys():
        return None
    labels, boxes, scores = (by_name[name] for name in ("labels", "boxes", "scores"))
    queries = labels.dims[-1]
    if labels.is_float or labels.dims != scores.dims or boxes.dims != (*scores.dims, _BOX):
        return None
    classes = sighting.listed
    check_indices(labels.values, classes)

    def head(opset: Opset, scale: float) -> ModelProto:
        return fragment(
            opset,
            f"""head (float[n,{queries}] labels, float[n,{queries},4] corner, float[n,{queries}] score2)
                => (float[n,{queries},4] boxes, float[n,{queries},{classes}] scores)
            <int64[1] last = {{2}}, float scale = {{{scale:.9f}}}, {ONE_HOT_CONSTANTS}>
            {{
                boxes = Mul (corner, scale)
                index = Unsqueeze (labels, last)
                score = Unsqueeze (score2, last)
                {ONE_HOT}
            }}""",
            {"names": np.arange(classes, dtype=np.float32)[None, None]},
        )

    names = (labels.name, boxes.name, scores.name)
    return Layout(Family.DETR, names, queries, None, PictureFormat(), ranking_graph, head)


def _listed(sighting: Sighting) -> Layout | None:
    seen = listed_output(sighting)
    if seen is None or not boxes_are_shares(seen):
        return None
    queries, classes = seen.dims[1], sighting.listed
    check_indices(seen.values[..., 5], classes)

    def head(opset: Opset, scale: float) -> ModelProto:
        return fragment(
            opset,
            f"""head (float[n,{queries},6] rows)
                => (float[n,{queries},4] boxes, float[n,{queries},{classes}] scores)
            <int64[4] parts = {{2, 2, 1, 1}}, float half = {{0.5}}, float side = {{{scale * sighting.side:.9f}}},
             {ONE_HOT_CONSTANTS}>
            {{
                middle, size, score, index = Split <axis = 2> (rows, parts)
                {corners("middle", "size", "side")}
                {ONE_HOT}
            }}""",
            {"names": np.arange(classes, dtype=np.float32)[None, None]},
        )

    return Layout(Family.DETR, (seen.name,), queries, None, PictureFormat(), ranking_graph, head)


def _joined(sighting: Sighting) -> Layout | None:
    flat = [seen for seen in sighting.outputs if seen.is_float]
    if len(flat) != 1 or len(flat[0].dims) != 3 or flat[0].dims[2] <= _BOX or listed_output(sighting) is not None:
        return None
    queries, classes = flat[0].dims[1], flat[0].dims[2] - _BOX

    def head(opset: Opset, scale: float) -> ModelProto:
        return fragment(
            opset,
            f"""head (float[n,{queries},{classes + _BOX}] rows)
                => (float[n,{queries},4] boxes, float[n,{queries},{classes}] scores)
            <int64[3] parts = {{2, 2, {classes}}}, float half = {{0.5}}, float side = {{{scale * sighting.side:.9f}}}>
            {{
                middle, size, scores = Split <axis = 2> (rows, parts)
                {corners("middle", "size", "side")}
            }}""",
        )

    return Layout(Family.DETR, (flat[0].name,), queries, classes, PictureFormat(), ranking_graph, head)


def _logits_and_boxes(sighting: Sighting) -> tuple[Seen, Seen] | None:
    """The two outputs of the first form, by their names where the sizes alone do not tell."""
    flat = [seen for seen in sighting.outputs if seen.is_float and len(seen.dims) == 3]
    boxes = [seen for seen in flat if seen.dims[2] == _BOX]
    if len(boxes) > 1:
        boxes = [seen for seen in boxes if "box" in seen.name.lower()]
    if len(boxes) != 1:
        return None
    others = [seen for seen in flat if seen is not boxes[0] and seen.dims[:2] == boxes[0].dims[:2]]
    if len(others) > 1:
        others = [seen for seen in others if seen.name.lower() in ("logits", "pred_logits")]
    return (others[0], boxes[0]) if len(others) == 1 else None


def _is_softmax(sighting: Sighting, logits: Seen) -> tuple[bool, tuple[str, ...]]:
    """Whether the last column is "no object" and a softmax is due, and what to tell the user about it."""
    if sighting.activation != "auto":
        return sighting.activation == "softmax", ()
    columns = logits.dims[2]
    if columns == sighting.listed + 1 and not _FOCAL_SIGNS & logits.head:
        note = f"{columns} columns for {sighting.listed} classes: taken as softmax with 'no object' last"
        return True, (f"{note}; if a class is missing in labels.txt, add it or say --detr-scores sigmoid",)
    return False, ()
