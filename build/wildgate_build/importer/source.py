"""Reads the file to import and normalises it.

The result is self-contained (external data read in), uses ONNX's own operators only (no plugin, no
control flow, no local functions), and is written in opset 13 or later: there `axes` and `split` are inputs as
in today's files, so that the graphs around the network need one spelling.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto, external_data_helper, inliner, version_converter

from wildgate_build.errors import ImportRefusedError
from wildgate_build.standard_file import file_digest, held_tensors
from wildgate_build.standard_graph import IR_VERSION

__all__ = ["Source", "read_source"]

_OLDEST_OPSET: Final = 13
_STANDARD_DOMAINS: Final = ("", "ai.onnx")
# Control flow, and outputs whose size depends on values: not every runtime has them, and none is fast with them.
_REFUSED: Final = {
    *("If", "Loop", "Scan", "NonZero", "NonMaxSuppression", "Unique", "Compress", "Optional", "OptionalGetElement"),
    *("SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceInsert", "SplitToSequence", "ConcatFromSequence"),
}
_FLOATS: Final = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


@dataclass(frozen=True)
class Source:
    """The file to import: its digest (`blake3:<hex>`), its model, and the opset that the file had."""

    path: Path
    digest: str
    model: ModelProto
    opset: int

    @property
    def precision(self) -> str:
        """int8 where it holds quantisation nodes, fp16 where most of its weights are float16, else fp32."""
        if any(node.op_type == "DequantizeLinear" for node in self.model.graph.node):
            return "int8"
        sizes: dict[int, int] = dict.fromkeys(_FLOATS, 0)
        for tensor in self.model.graph.initializer:
            if tensor.data_type in sizes:
                sizes[tensor.data_type] += int(np.prod(tensor.dims))
        return "fp16" if 2 * sizes[TensorProto.FLOAT16] > sum(sizes.values()) else "fp32"

    @property
    def named_classes(self) -> int | None:
        """How many classes the file itself names, in the property `names` of Ultralytics' exporters; else None."""
        names = next((p.value for p in self.model.metadata_props if p.key == "names"), "")
        try:
            return len(ast.literal_eval(names)) or None
        except (ValueError, SyntaxError, TypeError):
            return None


def read_source(path: Path) -> Source:
    """Reads the file.

    Raises ImportRefusedError: it is not there, not an ONNX file, cut off, not valid, its external data is not there, it
    holds operators that not every runtime has, or cannot be brought to a newer opset.
    """
    model = _loaded(path)
    opset = next((entry.version for entry in model.opset_import if entry.domain in _STANDARD_DOMAINS), 0)
    model = inliner.inline_local_functions(model) if model.functions else model
    _check_operators(path, model)
    held = {tensor.name for tensor in model.graph.initializer}
    inputs = [tensor for tensor in model.graph.input if tensor.name not in held]  # before IR 4 they were inputs as well
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, IR_VERSION)
    if opset < _OLDEST_OPSET:
        model = _converted(path, model, opset)
    return Source(path, file_digest(path), model, opset)


def _loaded(path: Path) -> ModelProto:
    try:
        model = onnx.load(str(path), load_external_data=False)
    except FileNotFoundError:
        raise ImportRefusedError(f"{path}: there is no such file") from None
    except (OSError, DecodeError) as error:
        raise ImportRefusedError(
            f"{path}: cannot be read as ONNX, it may be cut off or another kind of file: {error}"
        ) from error
    if not model.graph.node or not any(entry.domain in _STANDARD_DOMAINS for entry in model.opset_import):
        raise ImportRefusedError(f"{path}: is not an ONNX model: it has no nodes or names no opset")
    for tensor in held_tensors(model):
        _check_type(path, tensor)
    try:
        onnx.checker.check_model(str(path))
        external_data_helper.load_external_data_for_model(model, str(path.parent))
    except (OSError, onnx.checker.ValidationError, ValueError) as error:
        raise ImportRefusedError(f"{path}: is not a valid ONNX model: {' '.join(str(error).split())[:400]}") from error
    for tensor in model.graph.initializer:
        _check_complete(path, tensor)
    return model


def _check_type(path: Path, tensor: TensorProto) -> None:
    if tensor.data_type not in onnx.helper.get_all_tensor_dtypes():
        raise ImportRefusedError(
            f"{path}: the weights {tensor.name!r} have the type {tensor.data_type}, which onnx {onnx.__version__} does "
            "not know; is the file damaged, or newer?"
        )


def _check_complete(path: Path, tensor: TensorProto) -> None:
    """Raises ImportRefusedError if external data ends before the tensor does."""
    if tensor.HasField("raw_data"):
        wanted = int(np.prod(tensor.dims)) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        if tensor.data_type not in (TensorProto.INT4, TensorProto.UINT4) and len(tensor.raw_data) != wanted:
            raise ImportRefusedError(
                f"{path}: the weights {tensor.name!r} should have {wanted} bytes and have {len(tensor.raw_data)}"
            )


def _check_operators(path: Path, model: ModelProto) -> None:
    foreign = {f"{node.domain}.{node.op_type}" for node in model.graph.node if node.domain not in _STANDARD_DOMAINS}
    if foreign:
        raise ImportRefusedError(
            f"{path}: uses {', '.join(sorted(foreign))}, which ONNX does not have; export it again without plugins"
        )
    if refused := {node.op_type for node in model.graph.node} & _REFUSED:
        raise ImportRefusedError(
            f"{path}: uses {', '.join(sorted(refused))}, which not every runtime takes; export it again with static "
            "sizes and without suppression (nms=False): wildgate appends its own"
        )


def _converted(path: Path, model: ModelProto, opset: int) -> ModelProto:
    try:
        return version_converter.convert_version(model, _OLDEST_OPSET)
    except (RuntimeError, onnx.checker.ValidationError, ValueError) as error:
        brief = " ".join(str(error).split())[:300]
        raise ImportRefusedError(
            f"{path}: is written in opset {opset} and cannot be brought to {_OLDEST_OPSET}: {brief}; "
            f"export it again with opset {_OLDEST_OPSET} or later"
        ) from error
