"""From torch modules to ONNX models, as the standard graph wants them."""

import io
import warnings
from collections.abc import Sequence

import onnx
import torch
from onnx import ModelProto
from torch import Tensor, nn

from wildgate_build.precision.body import without_unused
from wildgate_build.standard_graph import IR_VERSION, OPSET

__all__ = ["exported"]


def exported(module: nn.Module, example: Tensor, outputs: Sequence[str]) -> ModelProto:
    """`module` in ONNX: `pictures`, any number of `example`'s rows, to `outputs`."""
    data = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's and the deprecation notice of the classic exporter
        torch.onnx.export(
            module,
            (example,),
            data,  # type: ignore[arg-type]  # the classic exporter takes a stream, as its docs say
            input_names=["pictures"],
            output_names=list(outputs),
            dynamic_axes={name: {0: "n"} for name in ("pictures", *outputs)},
            opset_version=OPSET,
            dynamo=False,
        )
    model = _padding_in_convolutions(onnx.load_model_from_string(data.getvalue()))
    model.ir_version = IR_VERSION
    return model


def _padding_in_convolutions(model: ModelProto) -> ModelProto:
    """The body's convolutions with their padding, which torch can only write before them: a copy of their input less.

    As in `lite`: what the kernel is larger than the stride, more of it behind than before.
    """
    made_by = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        before = made_by.get(node.input[0]) if node.op_type == "Conv" else None
        if before is None or before.op_type != "Pad":
            continue
        attributes = {attribute.name: attribute for attribute in node.attribute}
        both = attributes["kernel_shape"].ints[0] - attributes["strides"].ints[0]
        attributes["pads"].ints[:] = [both // 2] * 2 + [both - both // 2] * 2
        node.input[0] = before.input[0]
    return without_unused(model)
