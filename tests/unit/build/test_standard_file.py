"""Standard detector files: what is read of them, and what makes a file something else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from colour_detector import DETECTIONS, FRAMES, LABELS, SIDE, colour_detector, write_detector
from onnx import ModelProto, helper

from wildgate_build.errors import NotStandardError
from wildgate_build.standard_file import FRAMES_PROPERTY, StandardFile, file_digest


def test_a_standard_file_says_what_it_is(tmp_path: Path) -> None:
    path = write_detector(tmp_path / "model.onnx", name="mine", precision="fp16")
    read = StandardFile.read(path)
    assert (read.frames, read.side, read.detections) == (FRAMES, SIDE, DETECTIONS)
    assert (read.properties.name, read.properties.labels, read.properties.precision) == ("mine", LABELS, "fp16")
    assert read.digest == file_digest(path)


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    inside = write_detector(tmp_path / "inside.onnx")
    path = tmp_path / "outside.onnx"
    onnx.save_model(onnx.load(inside), path, save_as_external_data=True, location="weights.bin", size_threshold=64)
    with pytest.raises(NotStandardError, match=r"outside\.onnx: keeps weights in weights\.bin; .*import it again"):
        StandardFile.read(path)


def test_constants_in_another_file_are_refused(tmp_path: Path) -> None:
    model = colour_detector()
    tensor = helper.make_tensor("outside", onnx.TensorProto.FLOAT, [64], bytes(256), raw=True)
    model.graph.node.append(helper.make_node("Constant", [], ["unused"], value=tensor))
    held = model.graph.node[-1].attribute[0].t
    onnx.external_data_helper.set_external_data(held, "constants.bin")
    held.ClearField("raw_data")
    with pytest.raises(NotStandardError, match=r"keeps weights in constants\.bin"):
        StandardFile.read(write_detector(tmp_path / "model.onnx", model))


def through_identity(model: ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Identity", ["FRAMES"], ["same"]))
    model.graph.node[1].input[0] = "same"


def also_into_shape(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("Shape", ["FRAMES"], ["sizes"]))


def not_at_all(model: ModelProto) -> None:
    cast = next(node for node in model.graph.node if node.op_type == "Cast")
    cast.input[0] = "still"
    model.graph.initializer.append(helper.make_tensor("still", onnx.TensorProto.UINT8, [1], [0]))


@pytest.mark.parametrize(
    ("change", "said"),
    [(through_identity, "into Identity;"), (also_into_shape, "into Cast, Shape;"), (not_at_all, "into no node;")],
)
def test_frames_go_into_a_cast_only(tmp_path: Path, change: Callable[[ModelProto], None], said: str) -> None:
    model = colour_detector()
    change(model)
    path = write_detector(tmp_path / "model.onnx", model)
    with pytest.raises(NotStandardError, match=rf"model\.onnx: takes FRAMES {said} TensorRT takes uint8 into a Cast"):
        StandardFile.read(path)


def of_unknown_type(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = 99


def of_another_name(model: ModelProto) -> None:
    model.graph.input[0].name = model.graph.node[0].input[0] = "images"


def of_any_side(model: ModelProto) -> None:
    dims = ["b", FRAMES, "height", "width", 3]
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("FRAMES", onnx.TensorProto.UINT8, dims))


def without_properties(model: ModelProto) -> None:
    del model.metadata_props[:]


def with_frames_alone(model: ModelProto) -> None:
    helper.set_model_props(model, {FRAMES_PROPERTY: "4"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (of_unknown_type, r"has FRAMES type 99 \[b,f,64,64,3\] -> DETECTIONS float"),
        (of_another_name, r"has images uint8 \[b,f,64,64,3\]"),
        (of_any_side, r"has FRAMES uint8 \[b,4,height,width,3\]"),
        (without_properties, "has no metadata property wildgate.frames that is a number"),
        (with_frames_alone, "has no metadata property wildgate.name"),
    ],
)
def test_what_differs_is_told(tmp_path: Path, change: Callable[[ModelProto], None], said: str) -> None:
    path = write_detector(tmp_path / "model.onnx")
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)
    with pytest.raises(NotStandardError, match=rf"model\.onnx: {said}"):
        StandardFile.read(path)


@pytest.mark.parametrize(
    ("share", "said"), [(None, "there is no such file"), (0.5, "cannot be read as ONNX"), (0, "has  -> ")]
)
def test_another_kind_of_file_is_named(tmp_path: Path, share: float | None, said: str) -> None:
    path = tmp_path / "model.onnx"
    if share is not None:
        whole = write_detector(path).read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(NotStandardError, match=rf"model\.onnx: {said}"):
        StandardFile.read(path)
