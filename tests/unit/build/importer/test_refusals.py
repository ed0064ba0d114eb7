"""Bad inputs: each a typed error that names what was wrong, with nothing written and nothing changed."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import networks
import numpy as np
import onnx
import pytest
from importing_bench import Bench
from networks import IMAGES, Graph
from onnx import ModelProto, TensorProto, helper, numpy_helper

from wildgate_build.errors import BuildError, ImportRefusedError, OutputError
from wildgate_build.importer.importing import import_detector


def refused(bench: Bench, model: ModelProto | Path, said: str, classes: int = 4, **told: str) -> None:
    """Expects the refusal, and what lay at the output to be as it was."""
    target = bench.plan(model, classes, **told).output
    target.write_bytes(b"before")
    with pytest.raises(BuildError, match=f"(?s){said}"):
        bench.imported(model, classes, **told)
    assert target.read_bytes() == b"before"
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def only_identity(*outputs: tuple[int, ...], batch: int | str = "n") -> ModelProto:
    """A network whose outputs, of these sizes behind the batch, are made of its picture's mean."""
    g = Graph(0)
    mean = g.node("ReduceMean", IMAGES, axes=[1, 2, 3], keepdims=0)
    made = {}
    for i, sizes in enumerate(outputs):
        column = g.reshape(mean, -1, *[1] * len(sizes))
        made[f"out{i}"] = g.node("Mul", column, g.constant(np.ones((1, *sizes))))
    return g.model(made, 64, batch, ranks={f"out{i}": len(sizes) + 1 for i, sizes in enumerate(outputs)})


def test_a_missing_file(bench: Bench) -> None:
    refused(bench, bench.folder / "nowhere.onnx", r"nowhere\.onnx: there is no such file")


@pytest.mark.parametrize("share", [0.3, 0.7, 0.999])
def test_a_truncated_file(bench: Bench, share: float) -> None:
    data = networks.yolov8().SerializeToString()
    path = bench.folder / "cut.onnx"
    path.write_bytes(data[: int(len(data) * share)])
    refused(bench, path, r"cut\.onnx: ")


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n\x1a\n" + bytes(100), b"not a model at all", np.random.default_rng(0).bytes(500)]
)
def test_another_kind_of_file(bench: Bench, data: bytes) -> None:
    path = bench.folder / "other.onnx"
    path.write_bytes(data)
    refused(bench, path, r"other\.onnx: ")


def test_missing_external_data(bench: Bench) -> None:
    path = bench.folder / "outside.onnx"
    onnx.save_model(networks.yolov8(), path, save_as_external_data=True, location="weights.bin", size_threshold=64)
    written = bench.imported(path, 4)
    assert (written.properties.family, written.path.stat().st_size > 4000) == ("yolov8", True)
    (bench.folder / "out" / "standard.onnx").unlink()
    whole = (bench.folder / "weights.bin").read_bytes()
    (bench.folder / "weights.bin").write_bytes(whole[:-100])
    refused(bench, path, r"outside\.onnx")
    (bench.folder / "weights.bin").unlink()
    refused(bench, path, r"outside\.onnx.*weights\.bin")


@pytest.mark.parametrize("opset", [11, 12])
def test_old_opsets_are_brought_up(bench: Bench, opset: int) -> None:
    written = bench.imported(networks.yolov8(opset=opset), 4)
    assert onnx.load(written.path).opset_import[0].version == 13
    assert any(f"opset {opset}" in line for line in bench.told)


def test_an_opset_that_nothing_reads(bench: Bench) -> None:
    network = networks.yolov8(opset=12)
    network.opset_import[0].version = 5
    refused(bench, network, r"network\.onnx: is (not a valid|written in opset 5)")
    network.opset_import[0].version = 1000
    refused(bench, network, r"network\.onnx: is not a valid|ONNX Runtime cannot run it: ")


def test_suppression_and_plugins_inside_are_refused(bench: Bench) -> None:
    g = Graph(0)
    found = g.node("NonMaxSuppression", g.constant(np.ones((1, 5, 4))), g.constant(np.ones((1, 2, 5))))
    g.node("Relu", IMAGES)
    refused(
        bench,
        g.model({"out": found}, 64, kinds={"out": TensorProto.INT64}, ranks={"out": 2}),
        "uses NonMaxSuppression, which not every runtime takes",
    )
    plugin = networks.yolov8()
    plugin.graph.node[-1].domain, plugin.graph.node[-1].op_type = "TRT", "EfficientNMS_TRT"
    plugin.opset_import.append(helper.make_opsetid("TRT", 1))
    refused(bench, plugin, r"uses TRT\.EfficientNMS_TRT, which ONNX does not have")


def test_other_inputs_are_named(bench: Bench) -> None:
    network = networks.yolov8()
    network.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.INT64, [1, 64, 64]))
    refused(
        bench,
        network,
        r"takes images float \[1,3,64,64\], mask int64 \[1,64,64\]; a detector takes one",
    )
    network = networks.yolov8()
    network.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 96
    refused(bench, network, r"96x64 pixels; wildgate's frames are square")
    network = only_identity((84, 9))
    network.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 64
    network.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 3
    refused(bench, network, "channels first")


def test_an_open_side_that_the_network_does_not_take(bench: Bench) -> None:
    network = networks.yolov8(side=96, open_side=True)  # its grid is that of 96 pixels
    refused(bench, network, "ONNX Runtime cannot run it: ")


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (
            ((3, 8, 8, 9), (3, 4, 4, 9)),
            r"gives out0 float32 \[B,3,8,8,9\], out1 float32 \[B,3,4,4,9\] .* fits no family",
        ),
        (((10,),), r"gives out0 float32 \[B,10\].*fits no family; expected is one of\n  yolov5: .*\n  yolov8: "),
        (((84, 84),), r"may be yolov5 or yolov8 or yolox or detr; say which with --family"),
    ],
)
def test_a_layout_that_cannot_be_placed(bench: Bench, outputs: tuple[tuple[int, ...], ...], said: str) -> None:
    refused(bench, only_identity(*outputs), said)


def test_yolov6_is_left_to_the_user_to_name(bench: Bench) -> None:
    refused(
        bench,
        networks.yolov6(),
        r"may be .*yolov5.* or yolox.*; say which with --family; YOLOv6 reads",
    )


@pytest.mark.parametrize("family", ["yolov5", "yolov8", "yolox", "yolo-end2end", "detr"])
def test_a_family_told_wrongly(bench: Bench, family: str) -> None:
    refused(
        bench,
        only_identity((7, 7, 7)),
        rf"out0 float32 \[B,7,7,7\] at 64 pixels; {family} expects",
        family=family,
    )


def test_yolox_told_of_a_network_without_its_grid(bench: Bench) -> None:
    refused(bench, networks.yolov5(), r"\[B,252,9\] at 64 pixels; yolox expects", family="yolox")


def test_standard_told_of_another(bench: Bench) -> None:
    refused(bench, networks.yolov8(), "is not a standard graph", family="standard")


def test_scores_that_are_no_probabilities(bench: Bench) -> None:
    refused(
        bench,
        networks.yolov5(sigmoid=False, seed=3),
        "the scores go from -.* should be probabilities",
    )


def test_a_network_that_mixes_its_batch(bench: Bench) -> None:
    g = Graph(0)
    x = g.node("ReduceMean", IMAGES, axes=[2, 3], keepdims=0)
    x = g.node("Sub", x, g.node("ReduceMean", x, axes=[0], keepdims=1))  # all pictures of a batch together
    rows = g.node("Mul", g.unsqueeze(g.node("Abs", g.split(x, (1, 2), 1)[0]), 2), g.constant(np.ones((1, 8, 84))))
    refused(bench, g.model({"out": rows}, 64), "1 picture.*; with 2, the values of out are others")


def test_a_baked_batch_that_cannot_be_opened(bench: Bench) -> None:
    """Attention over [L, B, E], exported for one picture."""
    said = r"works on 1 picture\(s\) at a time only; export it with .*dynamic=True.*'images'.*; with 2, it fails: "
    refused(bench, networks.sequence_first_detr(), said, classes=5)


def held(network: ModelProto) -> TensorProto:
    return next(tensor for tensor in network.graph.initializer if tensor.data_type == TensorProto.FLOAT)


@pytest.mark.parametrize("constant", [False, True])
def test_weights_of_a_type_that_onnx_does_not_know(bench: Bench, *, constant: bool) -> None:
    network = networks.yolov8()
    weights = held(network)
    weights.data_type = 99
    name = weights.name
    if constant:
        network.graph.node.insert(0, helper.make_node("Constant", [], [name], value=weights))
        network.graph.initializer.remove(weights)
    refused(bench, network, rf"network\.onnx: the weights '{name}' have the type 99, which onnx")


def test_an_input_of_a_type_that_onnx_does_not_know(bench: Bench) -> None:
    network = networks.yolov8()
    network.graph.input[0].type.tensor_type.elem_type = 99
    refused(bench, network, r"takes images type 99 \[1,3,64,64\]")


@pytest.mark.parametrize(
    ("make", "value"),
    [
        *((make, np.nan) for make in (networks.yolov5, networks.yolov8, networks.yolo_end2end, networks.detr)),
        *((make, np.inf) for make in (networks.yolov8, networks.yolo_end2end)),  # the others end in a sigmoid
    ],
)
def test_weights_that_are_no_numbers(bench: Bench, make: Callable[[], ModelProto], value: float) -> None:
    network = make()
    for node in network.graph.node:
        if node.op_type == "Conv":  # its kernels
            tensor = next(tensor for tensor in network.graph.initializer if tensor.name == node.input[1])
            spoilt = np.full(tuple(tensor.dims), value, np.float32)
            tensor.CopyFrom(numpy_helper.from_array(spoilt, tensor.name))
    refused(bench, network, "on noise the network gives values of .* that are not finite")


@pytest.mark.parametrize("which", ["model", "labels"])
def test_an_input_is_not_written_over(bench: Bench, which: str) -> None:
    plan = bench.plan(networks.yolov8(), 4)
    taken: Path = getattr(plan, which)
    before = taken.read_bytes()
    with pytest.raises(OutputError, match=rf"{taken.name}: is the file that is read"):
        import_detector(replace(plan, output=taken), bench.told.append)
    assert taken.read_bytes() == before


def test_a_place_that_cannot_be_written_is_told_before_the_work(bench: Bench) -> None:
    plan = bench.plan(bench.folder / "nowhere.onnx", 4)
    with pytest.raises(OutputError, match="there is no folder"):
        import_detector(replace(plan, output=bench.folder / "none" / "out.onnx"), bench.told.append)


def test_a_bad_name(bench: Bench) -> None:
    plan = replace(bench.plan(networks.yolov8(), 4), name="My Detector")
    with pytest.raises(ImportRefusedError, match="the name 'My Detector' is not"):
        import_detector(plan, bench.told.append)


def test_a_write_that_ends_midway_leaves_nothing(bench: Bench) -> None:
    plan = bench.plan(networks.yolov8(), 4)
    plan.output.write_bytes(b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (plan.model.stat().st_size, hard))  # files may not grow larger
    try:
        with pytest.raises(OutputError, match=r"standard\.onnx: cannot be written: .*File too large"):
            import_detector(plan, bench.told.append)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert plan.output.read_bytes() == b"before"
    assert list(plan.output.parent.iterdir()) == [plan.output]


def test_an_output_that_is_a_folder(bench: Bench) -> None:
    plan = bench.plan(networks.yolov8(), 4)
    plan.output.mkdir()
    with pytest.raises(OutputError, match=r"standard\.onnx: is a folder"):
        bench.imported(networks.yolov8(), 4)
    assert list(plan.output.parent.iterdir()) == [plan.output]
