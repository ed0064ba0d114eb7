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

from wildgate_build.importer.families.layout import (
    CORNERS,
    ONE_HOT,
    Family,
    Layout,
    PictureFormat,
    TrialRun,
    boxes_are_shares,
    check_indices,
    head,
    listed_output,
    predictions,
)
from wildgate_build.importer.network import Output
from wildgate_build.standard_graph import ranking_graph

__all__ = ["EXPECTS", "layout", "recognised"]

EXPECTS: Final = (
    "logits [B,Q,C] and boxes [B,Q,4]; or labels [B,Q], boxes [B,Q,4] and scores [B,Q]; "
    "or one output [B,Q,4+C] or [B,Q,6] with boxes from 0 to 1"
)

_BOX: Final = 4
_FOCAL_SIGNS: Final = frozenset(("TopK", "GridSample"))
"""Query selection, deformable attention: both came with focal loss."""


def layout(trial: TrialRun) -> Layout | None:
    """The layout, where the sizes allow it. Raises ImportRefusedError for a class index that is not listed."""
    return _raw(trial) or _deploy(trial) or _listed(trial) or _joined(trial)


def recognised(trial: TrialRun) -> bool:
    """Whether the outputs have another form, or are joined behind a TopK (query selection) and not on a grid."""
    if any(form(trial) is not None for form in (_raw, _deploy, _listed)):
        return True
    rows = predictions(trial)
    on_a_grid = rows is not None and (trial.on_a_grid(rows.dims[1]) or trial.on_a_grid(rows.dims[2]))
    return rows is not None and _joined(trial) is not None and "TopK" in rows.head and not on_a_grid


def _raw(trial: TrialRun) -> Layout | None:
    pair = _logits_and_boxes(trial)
    if pair is None:
        return None
    logits, boxes = pair
    queries, columns = logits.dims[1:]
    softmax, notes = _is_softmax(trial, logits)
    classes = columns - 1 if softmax else columns
    scoring = (
        "every = Softmax <axis = 2> (logits) scores, nothing = Split <axis = 2> (every, known)"
        if softmax
        else "scores = Sigmoid (logits)"
    )
    made = head(
        f"float[n,{queries},{columns}] logits, float[n,{queries},4] shares",
        queries,
        classes,
        f"middle, size = Split <axis = 2> (shares, parts) {CORNERS} {scoring}",
        parts=(2, 2),
        known=(classes, 1),
        unit=trial.side,
    )
    pictures = PictureFormat(values="imagenet" if softmax else "0-1")
    return Layout(Family.DETR, (logits.name, boxes.name), queries, classes, pictures, ranking_graph, made, notes)


def _deploy(trial: TrialRun) -> Layout | None:
    by_name = {output.name: output for output in trial.outputs}
    if not {"labels", "boxes", "scores"} <= by_name.keys():
        return None
    labels, boxes, scores = (by_name[name] for name in ("labels", "boxes", "scores"))
    queries = labels.dims[-1]
    if labels.is_float or labels.dims != scores.dims or boxes.dims != (*scores.dims, _BOX):
        return None
    check_indices(labels.values, trial)
    inputs = f"float[n,{queries}] labels, float[n,{queries},4] corner, float[n,{queries}] flat"
    body = f"""boxes = Mul (corner, scale)
        index = Unsqueeze (labels, last)
        score = Unsqueeze (flat, last)
        {ONE_HOT}"""
    made = head(inputs, queries, trial.listed, body)
    names = (labels.name, boxes.name, scores.name)
    return Layout(Family.DETR, names, queries, None, PictureFormat(), ranking_graph, made)


def _listed(trial: TrialRun) -> Layout | None:
    rows = listed_output(trial)
    if rows is None or not boxes_are_shares(rows):
        return None
    check_indices(rows.values[..., 5], trial)
    queries = rows.dims[1]
    body = f"middle, size, score, index = Split <axis = 2> (rows, parts) {CORNERS} {ONE_HOT}"
    made = head(f"float[n,{queries},6] rows", queries, trial.listed, body, parts=(2, 2, 1, 1), unit=trial.side)
    return Layout(Family.DETR, (rows.name,), queries, None, PictureFormat(), ranking_graph, made)


def _joined(trial: TrialRun) -> Layout | None:
    rows = predictions(trial)
    if rows is None or rows.dims[2] <= _BOX or listed_output(trial) is not None:
        return None
    queries, classes = rows.dims[1], rows.dims[2] - _BOX
    body = f"middle, size, scores = Split <axis = 2> (rows, parts) {CORNERS}"
    inputs = f"float[n,{queries},{rows.dims[2]}] rows"
    made = head(inputs, queries, classes, body, parts=(2, 2, classes), unit=trial.side)
    return Layout(Family.DETR, (rows.name,), queries, classes, PictureFormat(), ranking_graph, made)


def _logits_and_boxes(trial: TrialRun) -> tuple[Output, Output] | None:
    """The two outputs of the first form, by their names where the sizes alone do not tell."""
    flat = [output for output in trial.outputs if output.is_float and len(output.dims) == 3]
    boxes = [output for output in flat if output.dims[2] == _BOX]
    if len(boxes) > 1:
        boxes = [output for output in boxes if "box" in output.name.lower()]
    if len(boxes) != 1:
        return None
    others = [output for output in flat if output is not boxes[0] and output.dims[:2] == boxes[0].dims[:2]]
    if len(others) > 1:
        others = [output for output in others if output.name.lower() in ("logits", "pred_logits")]
    return (others[0], boxes[0]) if len(others) == 1 else None


def _is_softmax(trial: TrialRun, logits: Output) -> tuple[bool, tuple[str, ...]]:
    """Whether the last column is "no object" and a softmax is due, and what to tell the user about it."""
    if trial.activation != "auto":
        return trial.activation == "softmax", ()
    columns = logits.dims[2]
    if columns == trial.listed + 1 and not _FOCAL_SIGNS & logits.head:
        note = f"{columns} columns for {trial.listed} classes: taken as softmax with 'no object' last"
        return True, (f"{note}; if a class is missing in labels.txt, add it or say --detr-scores sigmoid",)
    return False, ()
