"""Files that are standard already, and what an import writes of itself."""

from __future__ import annotations

from dataclasses import replace

import networks
import numpy as np
import onnx
import pytest
from importing_bench import SHAPE, Bench
from onnx import TensorProto, helper, numpy_helper

from wildgate_build.errors import ImportRefusedError, NotStandardError
from wildgate_build.standard_file import StandardFile, file_digest


def test_the_result_describes_itself(bench: Bench) -> None:
    network = networks.yolov8(4, seed=4)
    written = bench.imported(network, "a = live_tiger\nb\nc = -\nd")
    assert written == StandardFile.read(bench.folder / "out" / "standard.onnx")
    assert written.properties.name == "thing"
    assert written.properties.labels == ("live_tiger", "b", "d")
    assert written.properties.precision == "fp32"
    assert written.properties.source_digest == file_digest(bench.folder / "network.onnx")
    model = onnx.load(written.path)
    assert [node.op_type for node in model.graph.node[:3]] == ["Cast", "Reshape", "Transpose"]
    assert model.graph.node[0].input == ["FRAMES"]


def test_the_weights_are_untouched(bench: Bench) -> None:
    network = networks.yolov8(4, seed=4)
    model = onnx.load(bench.imported(network, 4).path)
    held = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    for tensor in network.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if tensor.data_type == TensorProto.FLOAT and weights.size > 4:
            assert any(weights.shape == other.shape and np.array_equal(weights, other) for other in held), tensor.name


def test_a_float16_network_says_so(bench: Bench) -> None:
    g = networks.Graph(0)
    x = g.conv(networks.IMAGES, 9, 3, 8, 8)
    rows = g.node("Transpose", g.node("Sigmoid", g.reshape(x, 0, 9, -1)), perm=[0, 2, 1])
    tail = g.node("Concat", rows, rows, rows, axis=1)
    model = g.model({"out": g.node("Concat", tail, g.split(tail, (60, 3 * 81 - 60), 1)[0], axis=1)}, 64, "n")
    weights = [
        numpy_helper.from_array(numpy_helper.to_array(t).astype(np.float16), t.name)
        if t.data_type == TensorProto.FLOAT
        else t
        for t in model.graph.initializer
    ]
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.elem_type = TensorProto.FLOAT16
    written = bench.imported(model, 4, family="yolov5")
    assert written.properties.precision == "fp16"


def test_a_standard_file_is_given_new_labels(bench: Bench) -> None:
    first = bench.imported(networks.yolov8(4, seed=4), 4)
    before = onnx.load(first.path).graph
    written = bench.imported(first.path, "a = live_tiger\nb\nc\nd")
    assert written.properties.labels == ("live_tiger", "b", "c", "d")
    assert written.properties.family == "yolov8"
    assert written.properties.source_digest == first.digest
    assert onnx.load(written.path).graph == before
    again = bench.imported(written.path, 4, family="standard")
    assert again.properties.labels == ("thing_0", "thing_1", "thing_2", "thing_3")


def test_a_standard_file_of_other_sizes_is_refused(bench: Bench) -> None:
    first = bench.imported(networks.yolov8(4, seed=4), 4)
    said = (
        r"standard\.onnx: is made for 2 frames of 64 pixels with 16 detections; "
        "wanted is 2 frames of 64 pixels with 8 detections"
    )
    with pytest.raises(ImportRefusedError, match=said):
        bench.imported(first.path, 4, replace(SHAPE, detections=8))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (3, "lists 3 classes, the standard file has 4"),
        ("a\nb\nc = -\nd", "merges or ignores classes; in a standard file labels can be renamed only"),
        ("a\nb\nc = b\nd", "merges or ignores classes"),
    ],
)
def test_a_standard_files_labels_can_only_be_renamed(bench: Bench, labels: int | str, said: str) -> None:
    first = bench.imported(networks.yolov8(4, seed=4), 4)
    with pytest.raises(ImportRefusedError, match=said):
        bench.imported(first.path, labels)


def test_a_standard_file_must_start_with_a_cast(bench: Bench) -> None:
    first = bench.imported(networks.yolov8(4, seed=4), 4)
    model = onnx.load(first.path)
    model.graph.node.insert(0, helper.make_node("Identity", ["FRAMES"], ["same"]))
    model.graph.node[1].input[0] = "same"
    with pytest.raises(NotStandardError, match="takes FRAMES into Identity; TensorRT takes uint8 into a Cast only"):
        bench.imported(model, 4)


def test_a_standard_file_with_weights_beside_is_made_whole(bench: Bench) -> None:
    first = bench.imported(networks.yolov8(4, seed=4), 4)
    path = bench.folder / "outside.onnx"
    onnx.save_model(onnx.load(first.path), path, save_as_external_data=True, location="w.bin", size_threshold=64)
    written = bench.imported(path, 4)
    (bench.folder / "w.bin").unlink()
    assert StandardFile.read(written.path) == written
    assert onnx.load(written.path).graph.initializer == onnx.load(first.path).graph.initializer
