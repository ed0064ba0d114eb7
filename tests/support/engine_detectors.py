"""Small standard detector files, and files that are almost standard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from wildgate_build.standard_file import Properties, write_properties
from wildgate_server.repository.engine_key import EngineKey, engine_digest

F, S, K = 8, 32, 16
PROPERTIES = Properties("small", ("live_bear",), "none", f"blake3:{'0' * 64}", "fp32")


def means_model(
    *, precision: str = "fp32", detections: int = K, declared: int = K, operator: str = "ReduceMean"
) -> ModelProto:
    """Every value of a detection is the mean of its frame, after a convolution that changes nothing.

    `precision` is the convolution's. `declared` is the K that the file says its answer has, `detections` the one it
    computes.
    """
    nodes = [
        helper.make_node("Cast", ["FRAMES"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["pixels", "pictures_shape"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["pictures"], perm=[0, 3, 1, 2]),
        *_convolution(precision),
        helper.make_node(operator, ["same"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "cell_shape"], ["cell"]),
        helper.make_node("Expand", ["cell", "answer_shape"], ["DETECTIONS"]),
    ]
    constants = {
        "pictures_shape": np.array([-1, S, S, 3], np.int64),
        "cell_shape": np.array([-1, F, 1, 1], np.int64),
        "answer_shape": np.array([1, F, detections, 6], np.int64),
        "identity": np.eye(3, dtype=np.float16 if precision == "fp16" else np.float32)[:, :, None, None],
        "step": np.array(1 / 127, np.float32),
        "pixel_step": np.array(2, np.float32),
        "zero": np.array(0, np.int8),
    }
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("FRAMES", TensorProto.UINT8, ["b", F, S, S, 3])],
        [helper.make_tensor_value_info("DETECTIONS", TensorProto.FLOAT, ["b", F, declared, 6])],
        [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    write_properties(model, Properties(**{**vars(PROPERTIES), "precision": precision}))
    return model


def _convolution(precision: str) -> list[NodeProto]:
    """`pictures` to `same`."""
    if precision == "fp32":
        return [helper.make_node("Conv", ["pictures", "identity"], ["same"])]
    if precision == "fp16":
        return [
            helper.make_node("Cast", ["pictures"], ["half"], to=TensorProto.FLOAT16),
            helper.make_node("Conv", ["half", "identity"], ["half_same"]),
            helper.make_node("Cast", ["half_same"], ["same"], to=TensorProto.FLOAT),
        ]
    return [
        helper.make_node("QuantizeLinear", ["pictures", "pixel_step", "zero"], ["small"]),
        helper.make_node("DequantizeLinear", ["small", "pixel_step", "zero"], ["rough"]),
        helper.make_node("QuantizeLinear", ["identity", "step", "zero"], ["small_identity"]),
        helper.make_node("DequantizeLinear", ["small_identity", "step", "zero"], ["rough_identity"]),
        helper.make_node("Conv", ["rough", "rough_identity"], ["same"]),
    ]


def write_means(file: Path, **changes: object) -> Path:
    """`means_model` as a file."""
    onnx.save(means_model(**changes), file)
    return file


def key_of(engine: bytes) -> EngineKey:
    return EngineKey(
        onnx_digest=f"blake3:{'1' * 64}",
        target="rtx",
        tensorrt_version="1.7.1.116",
        architectures=("8.0+",),
        precision="fp32",
        min_batch=1,
        opt_batch=4,
        max_batch=4,
        frames=8,
        side=320,
        detections=16,
        engine_digest=engine_digest(engine),
        engine_bytes=len(engine),
    )
