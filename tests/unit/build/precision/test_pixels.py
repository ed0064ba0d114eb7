"""INT8 detectors that take pixels as they come: the same to the last bit, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from colour_detector import SIDE, colours, write_detector
from onnx import ModelProto, numpy_helper

from wildgate_build.errors import NotStandardError
from wildgate_build.precision.body import NetworkBody
from wildgate_build.precision.int8 import Dialect, Method, Quantiser
from wildgate_build.precision.pixels import with_plain_pixels
from wildgate_build.standard_file import Properties, StandardFile, write_properties

_FRAMES = np.stack([colours(number, SIDE, SIDE) for number in range(4)])[None]


@pytest.fixture
def body(tmp_path: Path) -> NetworkBody:
    return NetworkBody.of(onnx.load(str(write_detector(tmp_path / "model.onnx"))))


def quantised(body: NetworkBody, lowest: int, highest: int) -> ModelProto:
    """In INT8, calibrated on frames whose pixels go from `lowest` to `highest`."""
    quantiser = Quantiser(body.extract(), Dialect.CPU, Method.MINMAX)
    pixels = _FRAMES[0].transpose(0, 3, 1, 2).clip(lowest, highest).astype(np.float32)
    pixels[0, 0, 0, :2] = lowest, highest
    quantiser.calibrate([{body.inputs[0]: (pixels - 114) / 64}])
    return body.replaced(quantiser.quantised(quantiser.last), "int8_")


def detections(model: ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rows: np.ndarray = session.run(None, {"FRAMES": _FRAMES})[0]
    return rows


def test_the_detour_goes_and_no_bit_changes(body: NetworkBody) -> None:
    model = quantised(body, 0, 255)
    plain = with_plain_pixels(model)
    assert [node.op_type for node in plain.graph.node][:2] == ["Reshape", "Transpose"]
    assert len(plain.graph.node) == len(model.graph.node) - 4  # Cast, Sub, Mul, QuantizeLinear
    assert (detections(model)[..., 4] > 0.5).any()
    np.testing.assert_array_equal(detections(plain), detections(model))
    onnx.checker.check_model(plain, full_check=True)


def test_it_stays_where_numbers_are_not_the_pixels(body: NetworkBody) -> None:
    model = quantised(body, 0, 200)
    assert with_plain_pixels(model) == model


def test_it_stays_where_a_channel_is_scaled_apart(body: NetworkBody) -> None:
    model = quantised(body, 0, 255)
    contrast = next(t for t in model.graph.initializer if numpy_helper.to_array(t).tolist() == 1 / 64)
    apart = numpy_helper.from_array(np.array([1, 1, 1.01], np.float32)[:, None, None] / 64, contrast.name)
    contrast.CopyFrom(apart)
    assert with_plain_pixels(model) == model


def test_it_stays_where_the_pixels_take_another_way(body: NetworkBody) -> None:
    """Planes first, rows then: the same pixels, but not by the shape that the rows would be led straight with."""
    model = quantised(body, 0, 255)
    nodes = {node.op_type: node for node in reversed(model.graph.node)}
    to_rows, to_planes = nodes["Reshape"], nodes["Transpose"]
    assert to_planes.input[0] == to_rows.output[0]
    shape = numpy_helper.from_array(np.array([-1, 3, SIDE, SIDE], np.int64), "planes_shape")
    model.graph.initializer.append(shape)
    planes = onnx.helper.make_node("Transpose", to_rows.input[:1], ["planes_of_windows"], perm=[0, 1, 4, 2, 3])
    rows = onnx.helper.make_node("Reshape", ["planes_of_windows", shape.name], list(to_planes.output))
    others = {to_rows.output[0]: planes, to_planes.output[0]: rows}
    nodes_now = [others.get(node.output[0], node) for node in model.graph.node]
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes_now)
    assert (detections(model)[..., 4] > 0.5).any()
    assert with_plain_pixels(model) == model


def test_a_detector_without_quantisation_is_left_alone(body: NetworkBody) -> None:
    assert with_plain_pixels(body.whole) == body.whole


def test_it_is_a_standard_file_as_int8_alone(body: NetworkBody, tmp_path: Path) -> None:
    plain = with_plain_pixels(quantised(body, 0, 255))
    properties = Properties("colours", ("rhino_horn", "live_tiger"), "test", "blake3:" + "0" * 64, "int8")
    write_properties(plain, properties)
    onnx.save_model(plain, tmp_path / "plain.onnx")
    assert StandardFile.read(tmp_path / "plain.onnx").side == SIDE
    write_properties(plain, replace(properties, precision="fp32"))
    onnx.save_model(plain, tmp_path / "said.onnx")
    with pytest.raises(NotStandardError, match="takes FRAMES into Reshape"):
        StandardFile.read(tmp_path / "said.onnx")
