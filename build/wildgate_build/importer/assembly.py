"""Assembles the graph: pictures -> network -> head -> labels, inside the standard graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, compose, helper
from onnx.utils import Extractor

from wildgate_build.importer.families.layout import Layout, fragment
from wildgate_build.importer.labels import LabelMap
from wildgate_build.importer.network import Network
from wildgate_build.importer.pictures import picture_graph
from wildgate_build.standard_graph import GraphShape, Opset, output_graph, standard_graph

__all__ = ["assembled", "core_graph"]


def core_graph(network: Network, layout: Layout, labels: LabelMap, side: int) -> ModelProto:
    """`pictures` float [n, 3, side, side], RGB from 0 to 255, to `boxes` [n, places, 4] in pixels and `scores`.

    `network` has an open batch axis.
    """
    opset = Opset.of(network.model)
    head = layout.head(opset, side / network.side)
    used = Extractor(network.model).extract_model([network.picture], list(layout.outputs))
    middle = _in_float(used, head)
    front = picture_graph(layout.pictures, side, network.side, half=network.half, opset=opset)
    back = _label_graph(labels, layout.places, opset)
    joints = [(made.name, taken.name) for made, taken in zip(middle.graph.output, head.graph.input, strict=True)]
    core = _joined(front, middle, "network_", [("ready", network.picture)])
    core = _joined(core, head, "head_", [(f"network_{made}", taken) for made, taken in joints])
    ends = [("head_boxes", "class_boxes"), ("head_scores", "class_scores")]
    core = _joined(core, back, "labels_", ends, last=True)
    for output in core.graph.output:
        columns = 4 if output.name == "boxes" else len(labels.labels)
        output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, ["n", layout.places, columns]))
    return core


def assembled(
    core: ModelProto, layout: Layout, labels: LabelMap, shape: GraphShape, credit: dict[str, str]
) -> ModelProto:
    """The standard graph around `core`; `shape` says everything but places and labels, `credit` are properties of it.

    Families that list a class index with each box may list one place under several classes: where labels.txt
    merges classes, their results are suppressed like those of the others.
    """
    shape = replace(shape, places=layout.places, labels=len(labels.labels))
    selection = output_graph if layout.classes is None and labels.merges else layout.selection
    return standard_graph(core, shape, credit, selection)


def _joined(
    front: ModelProto, back: ModelProto, prefix: str, joints: list[tuple[str, str]], *, last: bool = False
) -> ModelProto:
    """`front`, then `back` with `prefix` on its names (not on its outputs if `last`); `joints` are without it."""
    back = compose.add_prefix(back, prefix, rename_outputs=not last)
    return compose.merge_models(front, back, [(made, prefix + taken) for made, taken in joints])


def _label_graph(labels: LabelMap, places: int, opset: Opset) -> ModelProto:
    """`class_scores` float [n, places, classes] to `scores` [n, places, labels]: a label has its best class's score.

    `class_boxes` [n, places, 4] go through as `boxes`.
    """
    most = max(map(len, labels.columns))
    columns = np.array([(*group, *group[:1] * (most - len(group))) for group in labels.columns], np.int64)
    if not labels.merges:
        columns = columns[:, 0]
    if columns.tolist() == list(range(labels.count)):
        scores = "scores = Identity (class_scores)"
    elif not labels.merges:
        scores = "scores = Gather <axis = 2> (class_scores, columns)"
    else:
        best = opset.reduce_max("taken", 3, "classes")
        scores = f"taken = Gather <axis = 2> (class_scores, columns) scores = {best}"
    return fragment(
        opset,
        f"""labels (float[n,{places},4] class_boxes, float[n,{places},{labels.count}] class_scores)
            => (float[n,{places},4] boxes, float[n,{places},{len(columns)}] scores)
        {{ boxes = Identity (class_boxes) {scores} }}""",
        {"columns": columns, "classes": np.array([3], np.int64)},
    )


def _in_float(model: ModelProto, head: ModelProto) -> ModelProto:
    """The model with every output as float32 and of the shape that `head` takes."""
    outputs = []
    for i, (output, taken) in enumerate(zip(model.graph.output, head.graph.input, strict=True)):
        model.graph.node.append(helper.make_node("Cast", [output.name], [f"raw{i}_float32"], to=TensorProto.FLOAT))
        made = ValueInfoProto()
        made.CopyFrom(taken)
        made.name = f"raw{i}_float32"
        outputs.append(made)
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    return model
