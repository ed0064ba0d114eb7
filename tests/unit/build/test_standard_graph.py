"""The graph around the network: its suppression against one written separately, and its contract."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from wildgate_build.standard_graph import (
    IR_VERSION,
    OPSET,
    GraphShape,
    Opset,
    output_graph,
    ranking_graph,
    standard_graph,
)

SHAPE = GraphShape(places=120, labels=5, frames=2, side=64, detections=10, candidates=40)


def greedy(boxes: NDArray[np.float32], scores: NDArray[np.float32], shape: GraphShape) -> NDArray[np.float32]:
    """Textbook greedy suppression for one frame, one candidate after another."""
    best = scores.max(axis=1)
    order = sorted(range(len(best)), key=lambda i: -best[i])[: shape.candidates]
    kept: list[int] = []
    for i in order:
        if best[i] <= shape.least_score:
            break
        for j in kept:
            if scores[i].argmax() != scores[j].argmax():
                continue
            width = min(boxes[i][2], boxes[j][2]) - max(boxes[i][0], boxes[j][0])
            height = min(boxes[i][3], boxes[j][3]) - max(boxes[i][1], boxes[j][1])
            shared = max(width, 0) * max(height, 0)
            area_i = (boxes[i][2] - boxes[i][0]) * (boxes[i][3] - boxes[i][1])
            area_j = (boxes[j][2] - boxes[j][0]) * (boxes[j][3] - boxes[j][1])
            if shared / (area_i + area_j - shared) > shape.overlap:
                break
        else:
            kept.append(i)
    rows = np.zeros((shape.detections, 6), np.float32)
    for row, i in zip(rows, kept, strict=False):
        row[:4] = np.clip(boxes[i] / shape.side, 0, 1)
        row[4:] = best[i], scores[i].argmax()
    return rows


def random_detections(seed: int, clusters: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    frames, places, side = SHAPE.frames, SHAPE.places, SHAPE.side
    middles = rng.uniform(8, side - 8, (frames, clusters, 2))[:, rng.integers(0, clusters, places)]
    middles = middles + rng.normal(0, 1.5, (frames, places, 2))
    sizes = rng.uniform(8, 20, (frames, places, 2)) / 2
    boxes = np.concatenate((middles - sizes, middles + sizes), axis=2)
    scores = rng.uniform(0, 1, (frames, places, SHAPE.labels)) ** 4
    return boxes.astype(np.float32), scores.astype(np.float32)


def feed(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> dict[str, NDArray[np.generic]]:
    """The inputs of what comes after a network, for one window."""
    return {"boxes": boxes, "scores": scores, "windows": np.array([1, len(boxes)])}


@pytest.fixture(scope="module")
def suppression() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(output_graph(SHAPE).SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("clusters", [1, 3, 12, 60])
def test_suppression_equals_greedy(suppression: onnxruntime.InferenceSession, seed: int, clusters: int) -> None:
    boxes, scores = random_detections(seed, clusters)
    (got,) = suppression.run(None, feed(boxes, scores))
    wanted = np.stack([greedy(boxes[i], scores[i], SHAPE) for i in range(SHAPE.frames)])
    np.testing.assert_allclose(got[0], wanted, atol=1e-6)


def tiny_core(shape: GraphShape, scores_name: str = "scores") -> onnx.ModelProto:
    """A network that looks at nothing: constant boxes and scores, plus the picture's mean of zero."""
    boxes = np.tile(np.array((8, 8, 40, 40), np.float32), (1, shape.places, 1))
    scores = np.zeros((1, shape.places, shape.labels), np.float32)
    scores[:, 3, 2] = 0.75
    axes = np.array([1, 2, 3], np.int64)
    nodes = [
        helper.make_node("ReduceMean", ["pictures"], ["mean"], axes=axes.tolist(), keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["none"]),
        helper.make_node("Reshape", ["none", "column"], ["nothing"]),
        helper.make_node("Add", ["nothing", "all_boxes"], ["boxes"]),
        helper.make_node("Add", ["nothing", "all_scores"], [scores_name]),
    ]
    constants = {
        "zero": np.float32(0),
        "column": np.array([-1, 1, 1]),
        "all_boxes": boxes,
        "all_scores": scores,
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["n", 3, shape.side, shape.side])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", shape.places, 4]),
            helper.make_tensor_value_info(scores_name, TensorProto.FLOAT, ["n", shape.places, shape.labels]),
        ],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)])


def test_any_network_can_be_wrapped() -> None:
    model = standard_graph(tiny_core(SHAPE), SHAPE, {"labels": "a,b,c,d,e"})
    assert [node.op_type for node in model.graph.node[:3]] == ["Cast", "Reshape", "Transpose"]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    frames = np.zeros((3, SHAPE.frames, SHAPE.side, SHAPE.side, 3), np.uint8)
    (got,) = session.run(["DETECTIONS"], {"FRAMES": frames})
    assert got.shape == (3, SHAPE.frames, SHAPE.detections, 6)
    np.testing.assert_allclose(got[2, 1, 0], (0.125, 0.125, 0.625, 0.625, 0.75, 2), atol=1e-6)
    assert not got[:, :, 1:].any()
    for frames in (1, 5):
        (fewer,) = session.run(["DETECTIONS"], {"FRAMES": np.zeros((2, frames, SHAPE.side, SHAPE.side, 3), np.uint8)})
        np.testing.assert_array_equal(fewer, np.tile(got[0, 0], (2, frames, 1, 1)))


def test_a_network_with_other_outputs_is_refused() -> None:
    with pytest.raises(ValueError, match="gives 'boxes' and 'scores'"):
        standard_graph(tiny_core(SHAPE, scores_name="logits"), SHAPE, {})


def run_alone(graph: onnx.ModelProto, seed: int, clusters: int) -> NDArray[np.float32]:
    boxes, scores = random_detections(seed, clusters)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, feed(boxes, scores))
    return got[0]


@pytest.mark.parametrize("version", [13, 18, 21])
def test_suppression_is_the_same_in_other_opsets(version: int) -> None:
    boxes, scores = random_detections(3, 12)
    got = run_alone(output_graph(SHAPE, Opset(version, 8)), 3, 12)
    np.testing.assert_allclose(got, [greedy(boxes[i], scores[i], SHAPE) for i in range(SHAPE.frames)], atol=1e-6)


def test_more_candidates_than_places_are_all_places() -> None:
    shape = replace(SHAPE, candidates=4000, detections=130, rounds=16)
    boxes, scores = random_detections(4, 40)
    got = run_alone(output_graph(shape), 4, 40)
    np.testing.assert_allclose(got, [greedy(boxes[i], scores[i], shape) for i in range(SHAPE.frames)], atol=1e-6)
    assert not got[:, SHAPE.places :].any()


@pytest.mark.parametrize("detections", [10, 700])
def test_ranking_takes_the_best_of_all_places_and_labels(detections: int) -> None:
    shape = replace(SHAPE, detections=detections)
    boxes, scores = random_detections(5, 12)
    got = run_alone(ranking_graph(shape), 5, 12)
    for i in range(SHAPE.frames):
        order = np.argsort(-scores[i], axis=None)
        order = order[scores[i].flat[order] > SHAPE.least_score][:detections]
        place, label = np.unravel_index(order, scores[i].shape)
        wanted = np.zeros((detections, 6))
        wanted[: len(order), :4] = np.clip(boxes[i][place] / SHAPE.side, 0, 1)
        wanted[: len(order), 4], wanted[: len(order), 5] = scores[i][place, label], label
        np.testing.assert_allclose(got[i], wanted, atol=1e-6)
