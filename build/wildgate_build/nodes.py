"""ONNX graphs written as Python expressions: each call adds a node and gives the name of what comes out of it."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["Nodes"]


class Nodes:
    """Nodes and constants of a graph that is being written; branches of it have nodes of their own.

    All names begin with `prefix`.
    """

    def __init__(self, around: Nodes | None = None, prefix: str = "") -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._prefix: str = around._prefix if around else prefix
        self.constants: list[TensorProto] = around.constants if around else []
        self._names: list[str] = around._names if around else []

    def __call__(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """A node with one output."""
        [name] = self.several(operator, *inputs, outputs=[output] if output else 1, **attributes)
        return name

    def several(self, operator: str, *inputs: str, outputs: int | list[str], **attributes: Any) -> list[str]:
        """A node with so many outputs, or with outputs of these names."""
        if isinstance(outputs, int):
            outputs = [f"{self._prefix}{operator.lower()}_{len(self._names)}_{place}" for place in range(outputs)]
        self._names += outputs
        self.nodes.append(helper.make_node(operator, list(inputs), outputs, **attributes))
        return outputs

    def constant(self, value: npt.ArrayLike, kind: type[np.generic] = np.float32) -> str:
        """A tensor of the graph's own."""
        name = f"{self._prefix}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def shape(self, *sizes: int) -> str:
        """Sizes, places or axes, as ONNX takes them."""
        return self.constant(sizes, np.int64)

    def flag(self, operator: str, *inputs: str) -> str:
        """A comparison, as 0 or 1."""
        return self("Cast", self(operator, *inputs), to=TensorProto.FLOAT)

    def branch(self) -> Self:
        """Nodes for one side of `either`; they may use all that was there before."""
        return type(self)(self)

    def either(self, condition: str, then: tuple[Self, list[str]], otherwise: tuple[Self, list[str]]) -> list[str]:
        """What one branch or the other gives; only one of them is run."""
        bodies = []
        for branch, names in (then, otherwise):
            outputs = [helper.make_empty_tensor_value_info(name) for name in names]
            bodies.append(helper.make_graph(branch.nodes, "branch", [], outputs))
        return self.several("If", condition, outputs=len(then[1]), then_branch=bodies[0], else_branch=bodies[1])
