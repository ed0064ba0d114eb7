"""From a network's class columns to policy labels: dropped, put in order, merged."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto

from wildgate_build.importer.families.layout import fragment
from wildgate_build.importer.labels import LabelMap
from wildgate_build.standard_graph import Opset

__all__ = ["column_graph"]


def column_graph(labels: LabelMap, places: int, opset: Opset) -> ModelProto:
    """`class_scores` float [n, places, classes] to `scores` [n, places, labels]: a label has its best class's score.

    `class_boxes` [n, places, 4] go through as `boxes`.
    """
    columns = labels.columns
    constants: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = {}
    if [column for group in columns for column in group] == list(range(labels.count)) and not labels.merges:
        lines = ["scores = Identity (class_scores)"]
    elif not labels.merges:
        constants["columns"] = np.array([column for (column,) in columns], np.int64)
        lines = ["scores = Gather <axis = 2> (class_scores, columns)"]
    else:
        constants["last"] = np.array([2], np.int64)
        lines = []
        for i, group in enumerate(columns):
            constants[f"columns{i}"] = np.array(group, np.int64)
            taken = f"taken{i}" if len(group) > 1 else f"label{i}"
            lines.append(f"{taken} = Gather <axis = 2> (class_scores, columns{i})")
            if len(group) > 1:
                lines.append(f"best{i} = {opset.reduce_max(taken, 2, 'last')}")
                lines.append(f"label{i} = Unsqueeze (best{i}, last)")
        lines.append(f"scores = Concat <axis = 2> ({', '.join(f'label{i}' for i in range(len(columns)))})")
    return fragment(
        opset,
        f"""columns (float[n,{places},4] class_boxes, float[n,{places},{labels.count}] class_scores)
            => (float[n,{places},4] boxes, float[n,{places},{len(columns)}] scores)
        {{ boxes = Identity (class_boxes) {" ".join(lines)} }}""",
        constants,
    )
