"""fp16 in the body, fp32 around it."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from colour_detector import FRAMES, SIDE, colour_detector, colours
from onnx import ModelProto, TensorProto, numpy_helper

from wildgate_build.errors import PrecisionError
from wildgate_build.precision.body import NetworkBody
from wildgate_build.precision.half import halved


def whole(model: ModelProto, excluded: tuple[str, ...] = ()) -> ModelProto:
    body = NetworkBody.of(model)
    half = body.replaced(halved(body.extract(), excluded), "fp16_")
    onnx.checker.check_model(half, full_check=True)
    return half


def kinds(model: ModelProto) -> dict[str, int]:
    values = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    return values | {tensor.name: tensor.data_type for tensor in model.graph.initializer}


def test_weights_and_activations_of_the_body_are_fp16() -> None:
    model = whole(colour_detector())
    known = kinds(model)
    for node in model.graph.node:
        if node.op_type == "Conv":
            assert {known[name] for name in [*node.input, *node.output]} == {TensorProto.FLOAT16}


def test_pixel_coordinates_and_scores_stay_fp32() -> None:
    model = whole(colour_detector())
    known = kinds(model)
    outside = [node for node in model.graph.node if not node.name.startswith("fp16_")]
    assert {"Sigmoid", "TopK", "Sub"} <= {node.op_type for node in outside}
    used = {known[name] for node in outside for name in node.output if name in known}
    assert TensorProto.FLOAT in used
    assert TensorProto.FLOAT16 not in used


def test_the_interface_is_the_same() -> None:
    before, after = colour_detector(), whole(colour_detector())
    assert (after.graph.input, after.graph.output) == (before.graph.input, before.graph.output)
    assert [node.op_type for node in after.graph.node[:3]] == ["Cast", "Reshape", "Transpose"]


def test_detections_are_near() -> None:
    frames = np.stack([colours(number, SIDE, SIDE) for number in range(FRAMES)])[None]
    rows = [
        onnxruntime.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]).run(
            None, {"FRAMES": frames}
        )[0]
        for m in (colour_detector(), whole(colour_detector()))
    ]
    assert (rows[0][..., 4] > 0.5).any()
    assert 0 < np.abs(rows[0] - rows[1]).max() < 5e-3


def test_an_excluded_operator_stays_fp32() -> None:
    first = NetworkBody.of(colour_detector()).extract().graph.node[0]
    assert first.op_type == "Conv"
    known = kinds(model := whole(colour_detector(), (first.name,)))
    convolutions = {node.name: known[node.input[1]] for node in model.graph.node if node.op_type == "Conv"}
    assert convolutions.pop(f"fp16_{first.name}") == TensorProto.FLOAT
    assert set(convolutions.values()) == {TensorProto.FLOAT16}


def test_a_weight_past_fp16_is_named() -> None:
    model = colour_detector()
    for tensor in model.graph.initializer:
        if tensor.name == "net_mix_bias":
            tensor.CopyFrom(numpy_helper.from_array(np.full(8, -7e4, np.float32), tensor.name))
    with pytest.raises(PrecisionError, match="net_mix_bias holds 70000, fp16 ends at 65504"):
        whole(model)
