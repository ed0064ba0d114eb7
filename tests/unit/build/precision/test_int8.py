"""What the two dialects write, and that a quantised body still sees."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
import pytest
from colour_detector import SIDE, colour_detector, colours
from onnx import ModelProto, TensorProto, numpy_helper

from wildgate_build.errors import PrecisionError
from wildgate_build.precision.body import NetworkBody
from wildgate_build.precision.int8 import Dialect, Method, Quantiser


def pictures() -> np.ndarray:
    rows = np.stack([colours(number, SIDE, SIDE) for number in range(16)])
    return (rows.transpose(0, 3, 1, 2).astype(np.float32) - 114) / 64


def calibrated(dialect: Dialect, method: Method = Method.MINMAX, model: ModelProto | None = None) -> Quantiser:
    quantiser = Quantiser(NetworkBody.of(model or colour_detector()).extract(), dialect, method)
    quantiser.calibrate({"net_scaled": rows} for rows in np.split(pictures(), 4))
    return quantiser


def constants(model: ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def zero_points(model: ModelProto, *operators: str) -> Iterator[np.ndarray]:
    known = constants(model)
    for node in model.graph.node:
        if node.op_type in operators:
            yield known[node.input[2]]


def outputs(model: ModelProto) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"net_scaled": pictures()})


def test_for_the_cpu_activations_are_unsigned_and_weights_have_seven_bits() -> None:
    model = calibrated(Dialect.CPU).quantised()
    assert {point.dtype for point in zero_points(model, "QuantizeLinear")} == {np.dtype(np.uint8)}
    known = constants(model)
    weights = [value for name, value in known.items() if value.dtype == np.int8 and value.ndim == 4]
    assert len(weights) == 4
    assert 60 <= max(int(np.abs(weight.astype(int)).max()) for weight in weights) <= 64
    assert [value for value in known.values() if value.dtype == np.int32], "biases stay float"


def test_for_tensorrt_everything_is_signed_symmetric_and_biases_stay_float() -> None:
    model = calibrated(Dialect.TENSORRT).quantised()
    points = list(zero_points(model, "QuantizeLinear", "DequantizeLinear"))
    assert points
    assert {point.dtype for point in points} == {np.dtype(np.int8)}
    assert not any(point.any() for point in points)
    weights = [value for value in constants(model).values() if value.dtype == np.int8 and value.ndim == 4]
    assert max(int(np.abs(weight.astype(int)).max()) for weight in weights) == 127


def test_for_tensorrt_a_convolution_goes_on_in_float() -> None:
    graph = calibrated(Dialect.TENSORRT).quantised().graph
    convolved = {node.output[0] for node in graph.node if node.op_type == "Conv"}
    assert not [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] in convolved]


@pytest.mark.parametrize("dialect", list(Dialect))
def test_weights_have_a_scale_for_each_channel(dialect: Dialect) -> None:
    model = calibrated(dialect).quantised()
    known = constants(model)
    scales = [
        known[node.input[1]].shape
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in known and known[node.input[0]].ndim == 4
    ]
    assert sorted(scales) == [(2,), (2,), (8,), (8,)]


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("dialect", list(Dialect))
def test_the_outputs_are_near(dialect: Dialect, method: Method) -> None:
    quantiser = calibrated(dialect, method)
    for wanted, got in zip(outputs(quantiser.body), outputs(quantiser.quantised()), strict=True):
        spread = float(wanted.max() - wanted.min())
        assert 0 < np.abs(wanted - got).mean() < 0.02 * spread


def test_an_excluded_operator_stays_float() -> None:
    quantiser = calibrated(Dialect.TENSORRT)
    weighted = [node.name for node in quantiser.body.graph.node if node.op_type == "Conv"]
    first = weighted[0]
    model = quantiser.quantised([first])
    made = {name: node.op_type for node in model.graph.node for name in node.output}
    inputs = {node.name: [made.get(name, "") for name in node.input] for node in model.graph.node}
    assert "DequantizeLinear" not in inputs[first]
    assert all("DequantizeLinear" in inputs[name] for name in weighted[1:])


def test_batch_normalisation_is_folded_into_its_convolution() -> None:
    body = NetworkBody.of(colour_detector()).extract()
    at = next(i for i, node in enumerate(body.graph.node) if node.op_type == "Relu")
    for name, value in {"gain": 2.0, "shift": 0.5, "mean": 0.25, "variance": 4.0}.items():
        body.graph.initializer.append(numpy_helper.from_array(np.full(8, value, np.float32), name))
    normalise = onnx.helper.make_node(
        "BatchNormalization", [body.graph.node[at].input[0], "gain", "shift", "mean", "variance"], ["normal"], "norm"
    )
    body.graph.node[at].input[0] = "normal"
    body.graph.node.insert(at, normalise)
    assert "BatchNormalization" not in {
        node.op_type for node in Quantiser(body, Dialect.CPU, Method.MINMAX).body.graph.node
    }


def test_an_opset_without_scales_for_channels_is_refused() -> None:
    body = NetworkBody.of(colour_detector()).extract()
    body.opset_import[0].version = 12
    with pytest.raises(PrecisionError, match="needs opset 13, this graph has 12"):
        Quantiser(body, Dialect.CPU, Method.MINMAX)


def test_boxes_and_suppression_stay_float() -> None:
    body = NetworkBody.of(colour_detector())
    model = body.replaced(calibrated(Dialect.CPU).quantised(), "int8_")
    onnx.checker.check_model(model, full_check=True)
    touched = [node for node in model.graph.node if "Quantize" in node.op_type or "DequantizeLinear" in node.op_type]
    assert touched
    assert all(node.name.startswith("int8_") for node in touched)
    assert [node.op_type for node in model.graph.node[:3]] == ["Cast", "Reshape", "Transpose"]
    kinds = {output.type.tensor_type.elem_type for output in model.graph.output}
    assert kinds == {TensorProto.FLOAT}
    assert model.graph.input[0].type.tensor_type.shape.dim[1].dim_param == "f"
