"""The sizes of every tensor of a graph for one batch size, node by node.

ONNX's own inference over whole graphs gives up where a size goes through a division; here small integer tensors
are computed on the way, by ONNX's reference implementation.
"""

from __future__ import annotations

from math import prod
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TypeProto, defs, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

__all__ = ["Sizes"]

_SMALL: Final = 64  # elements; larger tensors are no sizes
_COMPUTED: Final = {
    *("Add", "Sub", "Mul", "Div", "Mod", "Neg", "Min", "Max", "Floor", "Ceil", "Cast", "Equal", "Where", "Range"),
    *("Gather", "Slice", "Concat", "Unsqueeze", "Squeeze", "Reshape", "Expand", "ConstantOfShape", "Identity", "Split"),
}


class Sizes:
    """What is known of a graph's tensors so far; `step` goes on by one node, in the graph's order."""

    def __init__(self, graph: GraphProto, opset: int, picture: str, dims: tuple[int, ...]) -> None:
        self._opset = opset
        self._types: dict[str, TypeProto] = {}
        self._values: dict[str, NDArray[np.generic]] = {}
        for tensor in graph.initializer:
            self._types[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
            if prod(tensor.dims) <= _SMALL:
                self._values[tensor.name] = numpy_helper.to_array(tensor)
        kind = next(tensor.type.tensor_type.elem_type for tensor in graph.input if tensor.name == picture)
        self._types[picture] = helper.make_tensor_type_proto(kind, list(dims))

    def know(self, name: str, value: NDArray[np.generic]) -> None:
        """Adds a constant."""
        self._values[name] = value
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        self._types[name] = helper.make_tensor_type_proto(kind, list(value.shape))

    def of(self, name: str) -> tuple[int, ...] | None:
        """The tensor's sizes, None where they are not known."""
        held = self._types.get(name)
        if held is None or not held.tensor_type.HasField("shape"):
            return None
        dims = held.tensor_type.shape.dim
        return tuple(dim.dim_value for dim in dims) if all(dim.HasField("dim_value") for dim in dims) else None

    def step(self, node: NodeProto) -> None:
        """Finds out about what the node gives; what cannot be told stays unknown."""
        for name in node.output:
            self._types.pop(name, None)
            self._values.pop(name, None)
        if node.op_type == "Constant":
            self._constant(node)
        elif node.op_type == "Shape" and (dims := self.of(node.input[0])) is not None:
            bounds = {a.name: a.i for a in node.attribute}
            self.know(node.output[0], np.array(dims[slice(bounds.get("start", 0), bounds.get("end"))], np.int64))
        elif node.op_type in _COMPUTED and all(name in self._values for name in node.input if name):
            self._compute(node)
        else:
            self._infer(node)

    def _constant(self, node: NodeProto) -> None:
        attribute = node.attribute[0]
        if attribute.name == "value":
            self.know(node.output[0], numpy_helper.to_array(attribute.t))
        elif attribute.name in ("value_int", "value_ints"):
            self.know(node.output[0], np.array(helper.get_attribute_value(attribute), np.int64))
        elif attribute.name in ("value_float", "value_floats"):
            self.know(node.output[0], np.array(helper.get_attribute_value(attribute), np.float32))

    def _compute(self, node: NodeProto) -> None:
        names = [name for name in dict.fromkeys(node.input) if name]
        unknown = [helper.make_empty_tensor_value_info(name) for name in (*names, *node.output)]
        graph = helper.make_graph([node], "node", unknown[: len(names)], unknown[len(names) :])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self._opset)])
        try:
            values = ReferenceEvaluator(model).run(None, {name: self._values[name] for name in names})
        except Exception:  # a size that cannot be computed is not known: what runs decides in the end
            return
        for name, value in zip(node.output, values, strict=True):
            array = np.asarray(value)
            self.know(name, array)
            if array.size > _SMALL:
                del self._values[name]

    def _infer(self, node: NodeProto) -> None:
        try:
            schema = defs.get_schema(node.op_type, self._opset, node.domain)
            given = {name: self._types[name] for name in node.input if name}
            values = {name: numpy_helper.from_array(self._values[name]) for name in given if name in self._values}
            made = shape_inference.infer_node_outputs(
                schema, node, given, values, opset_imports=[helper.make_opsetid("", self._opset)]
            )
        except (KeyError, onnx.shape_inference.InferenceError, defs.SchemaError, RuntimeError, ValueError):
            return
        self._types.update(made)
