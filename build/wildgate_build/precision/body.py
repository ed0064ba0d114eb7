"""The network's body inside a standard graph: the part that a change of precision may touch.

    FRAMES -> pre-processing -> | first operator with weights ... last one | -> boxes, suppression -> DETECTIONS

What comes before (scaling of pixels) and after (pixel coordinates and scores) stays in fp32: half precision counts
pixels beyond 2048 in twos, and 8 bits know 256 places in a frame. The body is found by structure, not by names, so that
imported detectors need no list of their nodes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from onnx import GraphProto, ModelProto, NodeProto, compose, shape_inference
from onnx.utils import Extractor
from onnxruntime.quantization.onnx_model import ONNXModel

from wildgate_build.errors import PrecisionError

__all__ = ["NetworkBody", "constants_of", "without_unused"]

_CONVOLUTIONS: Final = frozenset({"Conv", "ConvTranspose"})
_PRODUCTS: Final = frozenset({"Gemm", "MatMul"})


@dataclass(frozen=True)
class NetworkBody:
    """A whole graph and where its body begins and ends: names of tensors, in the order of the graph."""

    whole: ModelProto
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    _nodes: frozenset[int]

    @classmethod
    def of(cls, model: ModelProto) -> NetworkBody:
        """The body of `model`: all operators on a way from one with weights to one with weights.

        An operator with weights is a convolution or a product with a constant. One with a single output channel
        does not count: such is the expectation over a distribution of edges (DFL, arXiv:2006.04388), arithmetic
        of boxes written as a convolution.

        Raises PrecisionError when there is none.
        """
        whole = shape_inference.infer_shapes(model)
        graph = whole.graph
        constants, shapes = constants_of(graph), _shapes(graph)
        weighted = [at for at, node in enumerate(graph.node) if _channels(node, constants, shapes) > 1]
        if not weighted:
            raise PrecisionError("the graph has no convolution and no product with constant weights")
        after = _reached(weighted, [(node.input, node.output) for node in graph.node])
        before = _reached(weighted, [(node.output, node.input) for node in reversed(graph.node)], reverse=True)
        nodes = frozenset(after & before)
        produced = {name for at in nodes for name in graph.node[at].output}
        consumed = {name for at in nodes for name in graph.node[at].input if name}
        used_outside = {name for at, node in enumerate(graph.node) if at not in nodes for name in node.input}
        used_outside |= {output.name for output in graph.output}
        order = [name for node in graph.node for name in node.output] + [i.name for i in graph.input]
        inputs = tuple(name for name in order if name in consumed - produced - set(constants))
        return cls(whole, inputs, tuple(name for name in order if name in produced & used_outside), nodes)

    def extract(self) -> ModelProto:
        """The body as a model of its own, constants included, every node with a name."""
        body = Extractor(self.whole).extract_model(list(self.inputs), list(self.outputs))
        opsets = {entry.domain: entry for entry in self.whole.opset_import}  # merged graphs may name one twice
        del body.opset_import[:]
        body.opset_import.extend(opsets.values())
        taken = {node.name for node in body.graph.node}
        for at, node in enumerate(body.graph.node):
            if not node.name:
                node.name = next(n for n in (f"{node.op_type}_{at}", f"{node.op_type}_{at}_body") if n not in taken)
        return body

    def front(self) -> ModelProto:
        """The part before the body: FRAMES to the body's inputs."""
        return Extractor(self.whole).extract_model([i.name for i in self.whole.graph.input], list(self.inputs))

    def replaced(self, body: ModelProto, prefix: str) -> ModelProto:
        """The whole graph with `body`, a changed `extract()`, in place of what was there.

        `prefix` goes before the names inside the new body, so that none clashes with one outside.
        """
        new = compose.add_prefix(body, prefix, rename_inputs=False, rename_outputs=False, rename_value_infos=False)
        ONNXModel(new).topological_sort()  # converters leave their own nodes at the end
        nodes = self.whole.graph.node
        outside = [at for at in range(len(nodes)) if at not in self._nodes]
        behind = _reached(self._nodes, [(node.input, node.output) for node in nodes])
        result = ModelProto()
        result.CopyFrom(self.whole)
        graph = result.graph
        del graph.node[:], graph.value_info[:]
        graph.node.extend(nodes[at] for at in outside if at not in behind)
        graph.node.extend(new.graph.node)
        graph.node.extend(nodes[at] for at in outside if at in behind)
        graph.initializer.extend(new.graph.initializer)
        known = {entry.domain or "ai.onnx" for entry in result.opset_import}
        domains = {node.domain or "ai.onnx" for node in graph.node}
        result.opset_import.extend(entry for entry in body.opset_import if entry.domain in domains - known)
        return shape_inference.infer_shapes(without_unused(result))


def without_unused(model: ModelProto) -> ModelProto:
    """The model without nodes and initializers that its outputs do not need."""
    graph = model.graph
    used = Extractor(model).extract_model([i.name for i in graph.input], [o.name for o in graph.output])
    used.graph.name = graph.name
    used.producer_name = model.producer_name
    used.metadata_props.extend(model.metadata_props)
    return used


def _reached(
    start: Iterable[int], edges: list[tuple[Iterable[str], Iterable[str]]], *, reverse: bool = False
) -> set[int]:
    """The nodes reachable from `start`, itself included; `edges` are each node's (from, to) names in walking order."""
    last = len(edges) - 1
    begin = {last - at if reverse else at for at in start}
    names: set[str] = set()
    reached = set()
    for at, (sources, targets) in enumerate(edges):
        if at in begin or not names.isdisjoint(sources):
            names.update(name for name in targets if name)
            reached.add(last - at if reverse else at)
    return reached


def constants_of(graph: GraphProto) -> set[str]:
    """The tensors that depend on no input of the graph."""
    constants = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if all(name in constants for name in node.input if name):
            constants.update(node.output)
    return constants


def _channels(node: NodeProto, constants: set[str], shapes: dict[str, list[int]]) -> int:
    """The output channels of an operator with weights; 0 for any other."""
    if len(node.input) < 2:
        return 0
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    left, right = node.input[:2]
    if node.op_type in _CONVOLUTIONS and right in constants:
        shape = shapes[right]
        return shape[0] if node.op_type == "Conv" else shape[1] * (attributes.get("group") or 1)
    if node.op_type == "Gemm" and right in constants:
        return shapes[right][0 if attributes.get("transB") else 1]
    if node.op_type == "MatMul" and (right in constants) != (left in constants):
        return shapes[right][-1] if right in constants else shapes[left][0 if len(shapes[left]) == 1 else -2]
    return 0


def _shapes(graph: GraphProto) -> dict[str, list[int]]:
    """The known sizes of the tensors; 0 for one that is not known."""
    shapes = {v.name: [dim.dim_value for dim in v.type.tensor_type.shape.dim] for v in graph.value_info}
    return shapes | {tensor.name: list(tensor.dims) for tensor in graph.initializer}
