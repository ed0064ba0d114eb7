"""The network's body inside of a standard graph: the part that a change of precision may touch.

    FRAMES -> pre-processing -> | first operator with weights ... last one | -> boxes, suppression -> DETECTIONS

What lies before, scaling of pixels, and behind, pixel coordinates and scores, stays in fp32: half precision counts
pixels beyond 2048 in twos, and 8 bits know 256 places in a frame. The body is found by structure, not by names, so that
imported detectors need no list of their nodes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from onnx import GraphProto, ModelProto, NodeProto, compose, shape_inference
from onnx.utils import Extractor

from wildgate_build.failures import BuildError

__all__ = ["NetworkBody", "NoBodyError"]

_CONVOLUTIONS: Final = frozenset({"Conv", "ConvTranspose"})
_PRODUCTS: Final = frozenset({"Gemm", "MatMul"})


class NoBodyError(BuildError):
    """The graph has no operator with weights."""


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
        is none of them: such is the expectation over a distribution of edges (DFL, arXiv:2006.04388), arithmetic
        of boxes written as a convolution.

        Raises NoBodyError when there is none.
        """
        whole = shape_inference.infer_shapes(model)
        graph = whole.graph
        constants, shapes = _constants(graph), _shapes(graph)
        weighted = [at for at, node in enumerate(graph.node) if _channels(node, constants, shapes) > 1]
        if not weighted:
            raise NoBodyError("the graph has no convolution and no product with constant weights")
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
        """What lies before the body: FRAMES to the body's inputs."""
        return Extractor(self.whole).extract_model([i.name for i in self.whole.graph.input], list(self.inputs))

    def replaced(self, body: ModelProto, prefix: str) -> ModelProto:
        """The whole graph with `body`, a changed `extract()`, in place of what was there.

        `prefix` goes before the names inside of the new body, so that none meets one outside.
        """
        new = compose.add_prefix(body, prefix, rename_inputs=False, rename_outputs=False, rename_value_infos=False)
        at_body = min(self._nodes)
        outside = [(at, node) for at, node in enumerate(self.whole.graph.node) if at not in self._nodes]
        inside = [(at_body, node) for node in new.graph.node]
        result = ModelProto()
        result.CopyFrom(self.whole)
        graph = result.graph
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        initializers = [*self.whole.graph.initializer, *new.graph.initializer]
        graph.node.extend(_in_order(outside + inside, {output.name for output in graph.output}))
        used = {name for node in graph.node for name in node.input}
        graph.initializer.extend(tensor for tensor in initializers if tensor.name in used)
        known = {(entry.domain or "ai.onnx") for entry in result.opset_import}
        domains = {(node.domain or "ai.onnx") for node in graph.node}
        result.opset_import.extend(entry for entry in body.opset_import if entry.domain in domains - known)
        return shape_inference.infer_shapes(result)


def _reached(start: list[int], edges: list[tuple[Iterable[str], Iterable[str]]], *, reverse: bool = False) -> set[int]:
    """The nodes that `start` leads to, itself included; `edges` are each node's (from, to) names in walking order."""
    last = len(edges) - 1
    begin = {last - at if reverse else at for at in start}
    names: set[str] = set()
    reached = set()
    for at, (sources, targets) in enumerate(edges):
        if at in begin or not names.isdisjoint(sources):
            names.update(name for name in targets if name)
            reached.add(last - at if reverse else at)
    return reached


def _constants(graph: GraphProto) -> set[str]:
    """The tensors that no input of the graph has a part in."""
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
    """What is known of the tensors' sizes; 0 where one is not."""
    shapes = {v.name: [dim.dim_value for dim in v.type.tensor_type.shape.dim] for v in graph.value_info}
    return shapes | {tensor.name: list(tensor.dims) for tensor in graph.initializer}


def _in_order(nodes: list[tuple[int, NodeProto]], wanted: set[str]) -> list[NodeProto]:
    """The nodes that `wanted` needs, each behind those it depends on, otherwise in the order of their places."""
    maker = {name: at for at, (_, node) in enumerate(nodes) for name in node.output}
    needed: set[int] = set()
    stack = [maker[name] for name in wanted]
    while stack:
        at = stack.pop()
        if at not in needed:
            needed.add(at)
            stack.extend(maker[name] for name in nodes[at][1].input if name in maker)
    waiting = {at: {maker[n] for n in nodes[at][1].input if n in maker} for at in needed}
    followers: dict[int, list[int]] = {at: [] for at in needed}
    for at, makers in waiting.items():
        for source in makers:
            followers[source].append(at)
    free = [(nodes[at][0], at) for at, makers in waiting.items() if not makers]
    heapq.heapify(free)
    ordered = []
    while free:
        _, at = heapq.heappop(free)
        ordered.append(nodes[at][1])
        for follower in followers[at]:
            waiting[follower].discard(at)
            if not waiting[follower]:
                heapq.heappush(free, (nodes[follower][0], follower))
    return ordered
