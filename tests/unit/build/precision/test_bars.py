"""Detectors that leave out the letterbox's bars."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from colour_detector import CELL, SIDE, colour_detector, colours
from onnx import ModelProto, numpy_helper

from wildgate_build.check.runners import OnnxRunner
from wildgate_build.errors import PrecisionError
from wildgate_build.onnx_session import run
from wildgate_build.precision.bars import without_bars

BARS = 114


def letterboxed(height: int, width: int, bars: int = BARS) -> np.ndarray:
    """One window of one frame [1, 1, S, S, 3]: a picture of this size in the middle."""
    frame = np.full((SIDE, SIDE, 3), bars, np.uint8)
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    frame[top : top + height, left : left + width] = colours(1, width, height)
    return frame[None, None]


def sizes_inside(model: ModelProto, frames: np.ndarray, name: str = "net_seen") -> tuple[int, ...]:
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    return run(model, {"FRAMES": frames})[0][name].shape


@pytest.mark.parametrize(
    ("height", "width", "cells"),
    [(64, 64, (8, 8)), (36, 64, (6, 8)), (64, 36, (8, 6)), (32, 48, (4, 6)), (30, 64, (4, 8))],
)
def test_the_answer_is_that_of_the_whole_square(height: int, width: int, cells: tuple[int, int]) -> None:
    """None of this detector's convolutions sees beyond its cell, so a cut changes nothing."""
    model, frames = colour_detector(), letterboxed(height, width)
    cutting = without_bars(model, BARS)
    whole, cut = OnnxRunner(model)(frames), OnnxRunner(cutting)(frames)
    assert (whole[..., 4] > 0.5).any()
    np.testing.assert_array_equal(cut, whole)
    assert sizes_inside(cutting, frames) == (1, 8, *cells)


def test_what_one_frame_shows_is_no_bar_in_the_others() -> None:
    frames = np.concatenate([letterboxed(36, 64), letterboxed(64, 36)], axis=1)
    cutting = without_bars(colour_detector(), BARS)
    np.testing.assert_array_equal(run(cutting, {"FRAMES": frames})[0]["DETECTIONS"], OnnxRunner(cutting)(frames))
    assert sizes_inside(cutting, frames) == (2, 8, 8, 8)


@pytest.mark.parametrize("bars", [0, 113])
def test_bars_of_another_value_are_picture(bars: int) -> None:
    assert sizes_inside(without_bars(colour_detector(), BARS), letterboxed(36, 64, bars)) == (1, 8, 8, 8)


def test_nothing_but_bars_is_looked_at_and_nothing_seen() -> None:
    frames = np.full((1, 1, SIDE, SIDE, 3), BARS, np.uint8)
    assert not OnnxRunner(without_bars(colour_detector(), BARS))(frames).any()


def test_one_that_sees_something_in_bars_is_refused() -> None:
    model = colour_detector()
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "net_name_bias")
    bias.CopyFrom(numpy_helper.from_array(np.zeros(2, np.float32), bias.name))
    with pytest.raises(PrecisionError, match="sees something in a frame that is all bars"):
        without_bars(model, BARS)


def test_the_cut_ends_where_sizes_are_fixed() -> None:
    """As a network that adds a learned map of positions."""
    model = colour_detector()
    positions = np.zeros((1, 8, SIDE // CELL, SIDE // CELL), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(positions, "positions"))
    at = next(at for at, node in enumerate(model.graph.node) if node.output[0] == "net_passed0")
    model.graph.node.insert(at + 1, onnx.helper.make_node("Add", ["net_passed0", "positions"], ["placed"]))
    for node in list(model.graph.node)[at + 2 :]:
        node.input[:] = ["placed" if name == "net_passed0" else name for name in node.input]
    frames = letterboxed(36, 64)
    np.testing.assert_array_equal(OnnxRunner(without_bars(model, BARS))(frames), OnnxRunner(model)(frames))


def test_one_without_a_convolution_that_follows_is_refused() -> None:
    model = colour_detector()
    nodes = [node for node in model.graph.node if node.output[0] != "net_seen"]
    at = next(at for at, node in enumerate(nodes) if node.output[0] == "net_passed0")
    shape = numpy_helper.from_array(np.array([-1, 8, SIDE // CELL, SIDE // CELL], np.int64), "patches")
    pooled = numpy_helper.from_array(np.array([-1, 3 * SIDE * SIDE // 24, 24], np.int64), "rows")
    model.graph.initializer.extend([shape, pooled])
    nodes[at:at] = [
        onnx.helper.make_node("Reshape", ["net_scaled", "rows"], ["in_rows_of_24"]),
        onnx.helper.make_node("ReduceMean", ["in_rows_of_24"], ["means"], axes=[2]),
        onnx.helper.make_node("Reshape", ["means", "patches"], ["net_seen"]),
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    with pytest.raises(PrecisionError, match="no convolution's sizes follow"):
        without_bars(model, BARS)
