"""From an fp32 file to INT8 and fp16: what is measured, and what happens when INT8 costs too much."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from colour_detector import SIDE, colour_detector, colours, write_detector

from wildgate_build.check.matching import MatchRule
from wildgate_build.frames.calibration_split import CalibrationSplit
from wildgate_build.precision.conversion import Coverage, Int8Plan, to_half, to_int8
from wildgate_build.precision.exclusions import SearchLimits
from wildgate_build.precision.int8 import Dialect, Method
from wildgate_build.standard_file import StandardFile

RULE = MatchRule((0.5, 0.5))
PLAN = Int8Plan(Dialect.CPU, Method.MINMAX, (), SearchLimits(max_loss=0.02, seconds=0))
OUTLIER = 300.0  # with 256 steps in between, nothing is left of the colours


@pytest.fixture(scope="module")
def frames() -> CalibrationSplit:
    rows = np.stack([colours(number, SIDE, SIDE) for number in range(64)])
    return CalibrationSplit(rows[::2], rows[1::2])


@pytest.fixture
def detector(tmp_path: Path) -> StandardFile:
    return StandardFile.read(write_detector(tmp_path / "model.onnx"))


@pytest.fixture
def spoilt(tmp_path: Path) -> StandardFile:
    return StandardFile.read(write_detector(tmp_path / "spoilt.onnx", colour_detector(outlier=OUTLIER, passing=4)))


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_detector_that_takes_it_well(detector: StandardFile, frames: CalibrationSplit, dialect: Dialect) -> None:
    converted = to_int8(detector, frames, replace(PLAN, dialect=dialect), RULE)
    cost = converted.cost
    assert cost.differences.frames == 32
    assert cost.differences.pairs >= 32
    assert cost.differences.loss <= 0.02
    assert 0 < cost.differences.summary()["score_mean"] < 0.03
    assert cost.speed_ratio > 0
    assert (cost.old_bytes, cost.new_bytes) == (detector.path.stat().st_size, converted.model.ByteSize())


def test_the_file_says_what_it_is(detector: StandardFile, frames: CalibrationSplit, tmp_path: Path) -> None:
    for precision, converted in {
        "int8": to_int8(detector, frames, PLAN, RULE),
        "fp16": to_half(detector, frames.held_out, (), RULE),
    }.items():
        onnx.save_model(converted.model, tmp_path / "new.onnx")
        written = StandardFile.read(tmp_path / "new.onnx")
        assert written.properties == replace(detector.properties, precision=precision)
        assert (written.frames, written.side, written.detections) == (
            detector.frames,
            detector.side,
            detector.detections,
        )


def test_the_last_operators_stay_float(detector: StandardFile, frames: CalibrationSplit) -> None:
    converted = to_int8(detector, frames, PLAN, RULE)
    made = {name: node.op_type for node in converted.model.graph.node for name in node.output}
    for node in converted.model.graph.node:
        if node.op_type == "Conv":
            quantised = made.get(node.input[1]) == "DequantizeLinear"
            assert quantised == (not {"net_name_map", "net_size_map"} & set(node.output)), node.name
    assert len(converted.excluded) == 2


def test_a_search_finds_what_to_leave_out(spoilt: StandardFile, frames: CalibrationSplit) -> None:
    converted = to_int8(spoilt, frames, replace(PLAN, limits=SearchLimits(0.02, seconds=60)), RULE)
    assert converted.cost.differences.loss <= 0.02
    assert len(converted.excluded) > 2
    assert converted.coverage == Coverage(9 - len(converted.excluded), 9)
    assert converted.coverage.enough


def test_a_search_never_leaves_out_more_than_half(detector: StandardFile, frames: CalibrationSplit) -> None:
    hopeless = replace(PLAN, limits=SearchLimits(max_loss=-1, seconds=60))
    converted = to_int8(detector, frames, hopeless, RULE)
    assert converted.coverage == Coverage(3, 5)


@pytest.mark.parametrize("dialect", list(Dialect))
def test_operators_in_int8_are_counted_in_the_graph(
    detector: StandardFile, frames: CalibrationSplit, dialect: Dialect
) -> None:
    plan = replace(PLAN, dialect=dialect)
    usual = to_int8(detector, frames, plan, RULE)
    assert usual.coverage == Coverage(3, 5)
    names = [node.name.removeprefix("int8_") for node in usual.model.graph.node if node.op_type in ("Conv", "Add")]
    inside = [name for name in names if name.startswith(("Conv", "Add"))]
    nothing = to_int8(detector, frames, replace(plan, excluded=tuple(inside)), RULE)
    assert nothing.coverage == Coverage(0, 5)
    assert not any(node.op_type == "QuantizeLinear" for node in nothing.model.graph.node)


@pytest.mark.parametrize(
    ("in_int8", "operators", "enough"), [(0, 0, False), (0, 5, False), (2, 5, False), (3, 5, True), (4, 8, True)]
)
def test_half_of_the_operators_are_enough(in_int8: int, operators: int, enough: bool) -> None:
    assert Coverage(in_int8, operators).enough is enough


def test_fp16_loses_next_to_nothing(detector: StandardFile, frames: CalibrationSplit) -> None:
    cost = to_half(detector, frames.held_out, (), RULE).cost
    assert cost.differences.loss == 0
    assert 0 < cost.differences.summary()["score_largest"] < 0.01
    assert 0 < cost.differences.summary()["box_largest"] < 1e-3
