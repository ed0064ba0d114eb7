"""Lets a quantised graph take uint8 pixels directly, without a detour through fp32 to the same eight bits.

A quantised body begins by quantising scaled pixels. Where the scaling is linear and calibration saw the whole
range, that undoes the scaling exactly: pixel 114 becomes the number 114 again. Cast, scaling and quantisation of
two and a half million values then do nothing but cost a twentieth of a window's time (ONNX Runtime 1.31, one core
with AVX2: 3.6 of 74 ms, in turns).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto
from onnx.utils import Extractor

from wildgate_build.onnx_session import run
from wildgate_build.precision.body import without_unused

__all__ = ["with_plain_pixels"]

_INPUT = "FRAMES"
_ELEMENTWISE = frozenset({"Cast", "Add", "Sub", "Mul", "Div"})
_TO_PLANES = [0, 3, 1, 2]


def with_plain_pixels(model: ModelProto) -> ModelProto:
    """`model`, a standard graph, with FRAMES led straight to where they come out of the first quantisation unchanged.

    What the result computes is the same to the last bit: the detour is run on every pixel value in every channel, and
    stays where one of them changes. A model without such a place is returned as it is.
    """
    made_by = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if (
            node.op_type == "QuantizeLinear"
            and (rows := _rows_on_the_way(node, made_by))
            and _changes_nothing(model, node)
        ):
            return _led_straight(model, node, rows)
    return model


def _rows_on_the_way(quantise: NodeProto, made_by: dict[str, NodeProto]) -> NodeProto | None:
    """The Reshape of FRAMES, if a Transpose to planes follows it and all else on the way works on single values."""
    moves: list[NodeProto] = []  # from the quantisation back to FRAMES
    name = quantise.input[0]
    while name != _INPUT:
        node = made_by.get(name)
        if node is None:
            return None
        if node.op_type not in _ELEMENTWISE:
            moves.append(node)
        # Of the operands of arithmetic, follow the one that is not constant.
        varying = [each for each in node.input if each == _INPUT or not _is_constant(each, made_by)]
        if len(varying) != 1:
            return None
        name = varying[0]
    if [node.op_type for node in moves] != ["Transpose", "Reshape"]:
        return None
    to_planes, to_rows = moves
    perms = [list(attribute.ints) for attribute in to_planes.attribute if attribute.name == "perm"]
    return to_rows if perms == [_TO_PLANES] else None


def _is_constant(name: str, made_by: dict[str, NodeProto]) -> bool:
    return name not in made_by or made_by[name].op_type == "Constant"


def _changes_nothing(model: ModelProto, quantise: NodeProto) -> bool:
    """Whether pixels come out of the quantisation as they went in, whatever their value and channel."""
    output = quantise.output[0]
    inferred = onnx.shape_inference.infer_shapes(model)
    known = {value.name: value.type.tensor_type.elem_type for value in inferred.graph.value_info}
    if known.get(output) != TensorProto.UINT8:
        return False
    detour = Extractor(inferred).extract_model([_INPUT], [output])
    frames, height, width, channels = (
        dim.dim_value or 1 for dim in detour.graph.input[0].type.tensor_type.shape.dim[1:]
    )
    # Every place differs from its neighbours, and every channel takes every value.
    places: npt.NDArray[np.int64] = np.arange(frames * height * width).reshape(1, frames, height, width, 1)
    pixels = (places + 85 * np.arange(channels)).astype(np.uint8)
    (quantised,) = run(detour, {_INPUT: pixels})
    return bool(np.array_equal(quantised[output], pixels[0].transpose(_TO_PLANES)))


def _led_straight(model: ModelProto, quantise: NodeProto, reshape: NodeProto) -> ModelProto:
    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    rows = f"{quantise.output[0]}_rows"
    straight = [
        onnx.helper.make_node("Reshape", [_INPUT, reshape.input[1]], [rows], name="pixels_as_rows"),
        onnx.helper.make_node("Transpose", [rows], quantise.output, name="pixels_as_planes", perm=_TO_PLANES),
    ]
    nodes = [*straight, *(node for node in graph.node if node.output[0] != quantise.output[0])]
    cast = {name for node in nodes if _INPUT in node.input and node.op_type == "Cast" for name in node.output}
    for node in nodes:
        if node.op_type == "Shape" and node.input[0] in cast:  # which would keep the Cast
            node.input[0] = _INPUT
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return onnx.shape_inference.infer_shapes(without_unused(result))
