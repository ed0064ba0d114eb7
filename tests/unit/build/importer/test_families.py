"""Every family, imported, gives what its own post-processing in plain NumPy gives for the same frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import networks
import numpy as np
import numpy_postprocessing as plain
import onnx
import onnxruntime
import pytest
from importing_bench import SHAPE, Bench
from numpy.typing import NDArray
from onnx import ModelProto

from wildgate_build.importer.families.layout import PictureFormat
from wildgate_build.importer.pictures import picture_graph
from wildgate_build.standard_graph import GraphShape, Opset

Decode = Callable[[dict[str, NDArray[np.float64]], int], plain.Decoded]
Windows = Callable[[int], NDArray[np.uint8]]

DECODE: dict[str, Decode] = {
    "yolov5": lambda out, side: plain.yolov5(out["output0"]),
    "yolov8": lambda out, side: plain.yolov8(out["output0"]),
    "yolox": lambda out, side: plain.yolox(out["output"], side),
    "yolox_decoded": lambda out, side: plain.yolov5(out["output"]),
    "yolo_end2end": lambda out, side: plain.listed(
        out["output0"][:, :4], out["output0"][:, 4], out["output0"][:, 5], 4
    ),
    "rtdetr": lambda out, side: plain.detr(out["logits"], out["pred_boxes"], side, softmax=False),
    "detr": lambda out, side: plain.detr(out["pred_logits"], out["pred_boxes"], side, softmax=True),
    "rtdetr_deploy": lambda out, side: plain.listed(out["boxes"], out["scores"], out["labels"], 5),
    "joined_rtdetr": lambda out, side: (plain.corners(out["output0"][:, :4]) * side, out["output0"][:, 4:]),
}
SUPPRESSED = ("yolov5", "yolov8", "yolox", "yolox_decoded")
INPUT = {"yolox": ("bgr", "0-255"), "yolox_decoded": ("bgr", "0-255"), "detr": ("rgb", "imagenet")}


def session_of(model: ModelProto | str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    data = model if isinstance(model, str) else model.SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def detections(path: str, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = session_of(path)
    (rows,) = session.run(["DETECTIONS"], {"FRAMES": frames})
    return rows


def by_hand(
    kind: str,
    network: ModelProto,
    frames: NDArray[np.uint8],
    shape: GraphShape,
    columns: list[list[int]] | None = None,
    form: tuple[str, str] | None = None,
) -> NDArray[np.float64]:
    """DETECTIONS by the network's own outputs and plain NumPy, one frame after another."""
    session = session_of(network)
    inputs = {tensor.name: tensor for tensor in session.get_inputs()}
    side = next((size for size in inputs[networks.IMAGES].shape[2:] if isinstance(size, int)), shape.side)
    names = [output.name for output in session.get_outputs()]
    rows = np.zeros((*frames.shape[:2], shape.detections, 6))
    for at in np.ndindex(frames.shape[:2]):
        feed = {networks.IMAGES: plain.prepared(frames[at], side, *(form or INPUT.get(kind, ("rgb", "0-1"))))}
        if "orig_target_sizes" in inputs:
            feed["orig_target_sizes"] = np.array([[side, side]], np.int64)
        out = {name: value[0].astype(np.float64) for name, value in zip(names, session.run(names, feed), strict=True)}
        boxes, scores = DECODE[kind](out, side)
        if columns is not None:
            scores = plain.relabelled(scores, columns)
        least, k = shape.least_score, shape.detections
        if kind in SUPPRESSED or (columns and kind in ("yolo_end2end", "rtdetr_deploy")):
            rows[at] = plain.suppressed(boxes, scores, most=shape.overlap, least=least, detections=k, side=side)
        else:
            rows[at] = plain.ranked(boxes, scores, least=least, detections=k, side=side)
    return rows


FAMILY = {"rtdetr": "detr", "joined_rtdetr": "detr", "yolo_end2end": "yolo-end2end"}


def assert_the_same(got: NDArray[np.float32], wanted: NDArray[np.float64]) -> None:
    assert wanted[..., 4].any(), "the network sees nothing: the test would show nothing"
    np.testing.assert_allclose(got, wanted, atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "classes", "batch"),
    [
        ("yolov5", 4, 1),
        ("yolov5", 1, "batch"),
        ("yolov8", 4, 1),
        ("yolov8", 20, "batch"),
        ("yolox", 4, 1),
        ("yolox", 4, "batch"),
        ("yolo_end2end", 4, "batch"),
        ("rtdetr", 5, "batch"),
        ("rtdetr", 5, 1),
        ("detr", 5, "batch"),
        ("joined_rtdetr", 5, 1),
    ],
)
def test_a_family_is_recognised_and_gives_what_numpy_gives(
    bench: Bench, windows: Windows, kind: str, classes: int, batch: int | str
) -> None:
    network = getattr(networks, kind)(classes, batch=batch, seed=4)
    written = bench.imported(network, classes)
    assert written.properties.family == FAMILY.get(kind, kind)
    frames = windows(64)
    assert_the_same(detections(str(written.path), frames), by_hand(kind, network, frames, SHAPE))


def test_decoded_yolox_is_recognised(bench: Bench, windows: Windows) -> None:
    network = networks.yolox(decoded=True, seed=4)
    written = bench.imported(network, 4)
    assert written.properties.family == "yolox"
    frames = windows(64)
    assert_the_same(detections(str(written.path), frames), by_hand("yolox_decoded", network, frames, SHAPE))


def test_a_deploy_export_gets_its_sizes_filled_in(bench: Bench, windows: Windows) -> None:
    network = networks.rtdetr_deploy(seed=4)
    written = bench.imported(network, 5)
    frames = windows(64)
    assert_the_same(detections(str(written.path), frames), by_hand("rtdetr_deploy", network, frames, SHAPE))


def test_yolov6_reads_as_yolov5_when_told(bench: Bench, windows: Windows) -> None:
    network = networks.yolov6(seed=4)
    written = bench.imported(network, 4, family="yolov5")
    frames = windows(64)
    wanted = []
    session = session_of(network)
    for frame in frames.reshape(-1, 64, 64, 3):
        (rows,) = session.run(None, {networks.IMAGES: plain.prepared(frame, 64, "rgb", "0-1")})
        boxes, scores = plain.yolov5(rows[0].astype(np.float64))
        wanted.append(plain.suppressed(boxes, scores, most=0.5, least=0.05, detections=16, side=64))
    assert_the_same(detections(str(written.path), frames), np.stack(wanted).reshape(2, 2, 16, 6))


def test_suppression_is_at_work(bench: Bench, windows: Windows) -> None:
    network, frames = networks.yolov8(4, seed=4), windows(64)
    loose = replace(SHAPE, overlap=1.0)
    assert not np.allclose(by_hand("yolov8", network, frames, SHAPE), by_hand("yolov8", network, frames, loose))


@pytest.mark.parametrize(("side", "network_side"), [(64, 96), (96, 64), (80, 64)])
@pytest.mark.parametrize("kind", ["yolov8", "yolox", "rtdetr"])
def test_frames_are_resized_to_the_networks_side(
    bench: Bench, windows: Windows, kind: str, side: int, network_side: int
) -> None:
    network = getattr(networks, kind)(side=network_side, seed=4)
    shape, frames = replace(SHAPE, side=side), windows(side)
    written = bench.imported(network, 5 if kind == "rtdetr" else 4, shape)
    assert (written.side, written.frames, written.detections) == (side, 2, 16)
    assert any(f"resized to the network's {network_side}" in line for line in bench.told)
    assert_the_same(detections(str(written.path), frames), by_hand(kind, network, frames, shape))


@pytest.mark.parametrize(("side", "network_side"), [(320, 416), (320, 640), (640, 320), (224, 640), (96, 288)])
def test_the_resized_side_is_exact(side: int, network_side: int) -> None:
    graph = picture_graph(PictureFormat(), side, network_side, half=False, opset=Opset())
    session = session_of(graph)
    frame = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    (got,) = session.run(None, {"pictures": frame.transpose(2, 0, 1)[None].astype(np.float32)})
    np.testing.assert_allclose(got, plain.prepared(frame, network_side, "rgb", "0-1"), atol=2e-4)


def test_an_open_side_is_fixed_to_the_frames(bench: Bench, windows: Windows) -> None:
    network = networks.yolov8(seed=1, open_side=True)
    written = bench.imported(network, 4)
    assert not any("resized" in line for line in bench.told)
    assert_the_same(detections(str(written.path), windows(64)), by_hand("yolov8", network, windows(64), SHAPE))


MAPPING = """
# two cats become one label, the car is ignored, the order changes
car = -
lion = live_big_cat
horn = rhino_horn    # the product

tiger = live_big_cat
"""


@pytest.mark.parametrize("kind", ["yolov5", "yolov8", "yolox", "yolo_end2end"])
def test_labels_are_mapped_merged_and_dropped(bench: Bench, windows: Windows, kind: str) -> None:
    network = getattr(networks, kind)(4, seed=4)
    written = bench.imported(network, MAPPING)
    assert written.properties.labels == ("live_big_cat", "rhino_horn")
    frames = windows(64)
    wanted = by_hand(kind, network, frames, SHAPE, [[1, 3], [2]])
    assert set(np.unique(wanted[..., 5])) == {0, 1}
    assert_the_same(detections(str(written.path), frames), wanted)


def test_merged_labels_of_a_detr_have_the_best_score(bench: Bench, windows: Windows) -> None:
    network, frames = networks.rtdetr(4, seed=4), windows(64)
    written = bench.imported(network, MAPPING)
    assert_the_same(detections(str(written.path), frames), by_hand("rtdetr", network, frames, SHAPE, [[1, 3], [2]]))


def test_fewer_places_than_rows_leave_rows_empty(bench: Bench, windows: Windows) -> None:
    network, frames = networks.yolo_end2end(4, most=6, seed=4), windows(64)
    written = bench.imported(network, 4)
    got = detections(str(written.path), frames)
    assert_the_same(got, by_hand("yolo_end2end", network, frames, SHAPE))
    merged = bench.imported(network, MAPPING)
    assert not detections(str(merged.path), frames)[:, :, 6:].any()


def test_what_the_network_wants_can_be_told(bench: Bench, windows: Windows) -> None:
    network, frames = networks.yolov8(4, seed=4), windows(64)
    written = bench.imported(network, 4, channels="bgr", values="imagenet")
    wanted = by_hand("yolov8", network, frames, SHAPE, form=("bgr", "imagenet"))
    assert_the_same(detections(str(written.path), frames), wanted)


@pytest.mark.parametrize("opset", [18, 20])
def test_newer_opsets_stay(bench: Bench, windows: Windows, opset: int) -> None:
    network, frames = networks.yolov8(4, seed=1, opset=opset), windows(64)
    written = bench.imported(network, MAPPING)
    assert onnx.load(written.path).opset_import[0].version == opset
    wanted = by_hand("yolov8", network, frames, SHAPE, [[1, 3], [2]])
    assert_the_same(detections(str(written.path), frames), wanted)


def test_raw_maps_beside_the_predictions_are_left_out(bench: Bench, windows: Windows) -> None:
    network, frames = networks.yolov5(4, seed=1, maps=True), windows(64)
    written = bench.imported(network, 4)
    assert_the_same(detections(str(written.path), frames), by_hand("yolov5", network, frames, SHAPE))
