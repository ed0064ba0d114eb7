"""Whether a parsed network keeps the standard contract: names, types and shapes, checked before the build."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx

from wildgate_build.engine.errors import NetworkNotStandardError
from wildgate_build.standard_file import INPUT, OUTPUT, StandardFile

__all__ = ["TensorFacts", "check_contract", "check_quantisation", "network_tensors"]

_DYNAMIC = -1
_COLUMNS = 6


@dataclass(frozen=True)
class TensorFacts:
    """A network's input or output: its type by TensorRT's name, its sizes, -1 for one that is not static."""

    role: str
    name: str
    kind: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        sizes = ",".join("b" if size == _DYNAMIC else str(size) for size in self.shape)
        return f"{self.role} {self.name} {self.kind} [{sizes}]"


def check_quantisation(standard: StandardFile) -> None:
    """Raises NetworkNotStandardError for an INT8 file of the kind that CPUs take.

    TensorRT takes signed, symmetric INT8 alone (no zero point other than 0); its parser reads unsigned zero points as
    signed ones, which it only warns of.
    """
    graph = onnx.load(str(standard.path), load_external_data=False).graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "QuantizeLinear" and onnx.TensorProto.UINT8 in map(kinds.get, node.input[2:]):
            raise NetworkNotStandardError(
                f"{standard.path}: is quantised for CPUs ({node.name} is unsigned); make one for engines with: "
                "wildgate-build quantise --runtime tensorrt"
            )


def network_tensors(network: Any) -> list[TensorFacts]:
    """The inputs, then the outputs, of a parsed network."""
    inputs = [("input", network.get_input(place)) for place in range(network.num_inputs)]
    outputs = [("output", network.get_output(place)) for place in range(network.num_outputs)]
    return [
        TensorFacts(role, tensor.name, tensor.dtype.name.lower(), tuple(tensor.shape))
        for role, tensor in inputs + outputs
    ]


def check_contract(tensors: list[TensorFacts], standard: StandardFile) -> None:
    """Raises NetworkNotStandardError unless `tensors` are exactly what the standard file promises."""
    f, s, k = standard.frames, standard.side, standard.detections
    wanted = [
        TensorFacts("input", INPUT, "uint8", (_DYNAMIC, f, s, s, 3)),
        TensorFacts("output", OUTPUT, "float", (_DYNAMIC, f, k, _COLUMNS)),
    ]
    if tensors != wanted:
        raise NetworkNotStandardError(
            f"{standard.path}: the parsed network has {_listed(tensors)}; a standard detector has {_listed(wanted)}"
        )


def _listed(tensors: list[TensorFacts]) -> str:
    return ", ".join(map(str, tensors)) or "no tensors"
