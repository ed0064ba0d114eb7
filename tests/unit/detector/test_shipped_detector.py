"""The committed detector, as CPUs run it and as engines are built from it, keeps the contract of the standard graph."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from checkout import ROOT
from onnx import TensorProto

from wildgate_build.standard_file import StandardFile
from wildgate_detector.labels import LABELS

VERSION = ROOT / "model_repository/wildlife_detector/1"
MOST_BYTES = 14_500_000
_FIRST = {
    "engine.onnx": ["Cast", "Reshape", "Transpose"],  # TensorRT takes uint8 into a Cast only
    "model.onnx": ["Slice", "Reshape", "Transpose", "DequantizeLinear"],  # the cut, and pixels as they come
}


@pytest.fixture(scope="module", params=["model.onnx", "engine.onnx"])
def file(request: pytest.FixtureRequest) -> Path:
    return VERSION / str(request.param)


@pytest.fixture(scope="module")
def model(file: Path) -> onnx.ModelProto:
    return onnx.load(file)


@pytest.fixture(scope="module")
def session(file: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def shape_of(value: onnx.ValueInfoProto) -> list[str | int]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def test_names_types_and_shapes(model: onnx.ModelProto) -> None:
    (frames,) = model.graph.input
    (detections,) = model.graph.output
    assert (frames.name, frames.type.tensor_type.elem_type) == ("FRAMES", TensorProto.UINT8)
    assert shape_of(frames) == ["b", "f", 320, 320, 3]
    assert (detections.name, detections.type.tensor_type.elem_type) == ("DETECTIONS", TensorProto.FLOAT)
    assert shape_of(detections) == ["b", "f", 16, 6]


def test_what_pixels_meet_first(file: Path, model: onnx.ModelProto) -> None:
    nodes = list(model.graph.node)
    at = next((at for at, node in enumerate(nodes) if node.op_type == "Slice" and "FRAMES" in node.input), 0)
    produced, chain = {"FRAMES"}, []
    for node in nodes[at:]:
        if produced & set(node.input):
            chain.append(node.op_type)
            produced = set(node.output)
        if len(chain) == len(_FIRST[file.name]):
            break
    assert chain == _FIRST[file.name]


def test_no_plugin_and_no_suppression_node(model: onnx.ModelProto) -> None:
    assert {entry.domain for entry in model.opset_import} == {""}
    assert model.opset_import[0].version <= 19
    assert "NonMaxSuppression" not in {node.op_type for node in model.graph.node}


def test_small_enough_to_commit(file: Path) -> None:
    assert file.stat().st_size <= MOST_BYTES


def test_metadata_tells_labels_and_purpose(file: Path, model: onnx.ModelProto) -> None:
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    properties = StandardFile.read(file).properties
    assert properties.labels == LABELS
    assert (properties.name, properties.precision) == ("reference", {"model": "int8", "engine": "fp16"}[file.stem])
    assert "demonstration" in metadata["note"]
    assert "GPL-2" in metadata["material"]


def test_unused_rows_are_zero_and_used_ones_in_range(session: onnxruntime.InferenceSession) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (1, 8, 320, 320, 3), dtype=np.uint8)
    frames[:, :4] = 114
    (rows,) = session.run(None, {"FRAMES": frames})
    used = rows[..., 4] > 0
    assert not rows[~used].any()
    assert (np.diff(rows[..., 4], axis=-1) <= 0).all()
    assert rows[..., :5].min() >= 0
    assert rows[..., :5].max() <= 1
    assert set(np.unique(rows[..., 5])) <= set(range(len(LABELS)))


def test_a_frame_is_judged_alike_in_any_batch(session: onnxruntime.InferenceSession) -> None:
    frames = np.random.default_rng(1).integers(0, 255, (2, 8, 320, 320, 3), dtype=np.uint8)
    (together,) = session.run(None, {"FRAMES": frames})
    (alone,) = session.run(None, {"FRAMES": frames[1:]})
    np.testing.assert_allclose(together[1], alone[0], atol=1e-4)
