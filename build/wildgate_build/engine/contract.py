"""Whether a parsed network keeps the standard contract: names, types and shapes, checked before the build."""

from __future__ import annotations

from typing import Any

import onnx

from wildgate_build.errors import EngineError
from wildgate_build.standard_file import INPUT, OUTPUT, StandardFile

__all__ = ["check_contract", "check_quantisation"]


def check_quantisation(standard: StandardFile) -> None:
    """Raises EngineError for an INT8 file quantised for CPUs.

    TensorRT takes only signed, symmetric INT8 (zero point 0); its parser reads unsigned zero points as signed ones and
    merely warns.
    """
    graph = onnx.load(str(standard.path), load_external_data=False).graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "QuantizeLinear" and onnx.TensorProto.UINT8 in map(kinds.get, node.input[2:]):
            raise EngineError(
                f"{standard.path}: is quantised for CPUs ({node.name} is unsigned); make one for engines with: "
                "wildgate-build quantise --runtime tensorrt"
            )


def check_contract(network: Any, standard: StandardFile) -> None:
    """Raises EngineError unless the inputs and outputs of a parsed network are what the standard file promises."""
    f, s, k = standard.frames, standard.side, standard.detections
    wanted = [f"input {INPUT} uint8 [b,{f},{s},{s},3]", f"output {OUTPUT} float [b,{f},{k},6]"]
    found = [_described("input", network.get_input(place)) for place in range(network.num_inputs)]
    found += [_described("output", network.get_output(place)) for place in range(network.num_outputs)]
    if found != wanted:
        raise EngineError(
            f"{standard.path}: the parsed network has {', '.join(found) or 'no tensors'}; "
            f"a standard detector has {', '.join(wanted)}"
        )


def _described(role: str, tensor: Any) -> str:
    sizes = ",".join("b" if size == -1 else str(size) for size in tensor.shape)
    return f"{role} {tensor.name} {tensor.dtype.name.lower()} [{sizes}]"
