"""The shipped detector in fp16 and INT8: what is touched, and that it still sees what is in a sample."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from checkout import MODEL_REPOSITORY, ROOT, SAMPLES
from onnx import TensorProto, numpy_helper

from wildgate_build.check.matching import Differences, MatchRule
from wildgate_build.check.runners import OnnxRunner, detect
from wildgate_build.check.verdicts import read_policy, serving_thresholds
from wildgate_build.frames.calibration_split import CalibrationSplit
from wildgate_build.frames.sampled import FrameSource, video_files
from wildgate_build.precision.body import NetworkBody
from wildgate_build.precision.conversion import Int8Plan, to_int8
from wildgate_build.precision.exclusions import SearchLimits
from wildgate_build.precision.half import halved
from wildgate_build.precision.int8 import Dialect, Method
from wildgate_build.standard_file import StandardFile, held_tensors, write_properties

SHIPPED = ROOT / "model_repository/wildlife_detector/1/engine.onnx"
SENSITIVE = (
    "*net_/animals/*",
    "*net_/bodies/lite/_conv_stem/*",
    "*net_/bodies/lite/Clip",
    "*net_/bodies/lite/_blocks.[01]/*",
)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> StandardFile:
    """The shipped detector for engines, its halves written as fp32."""
    model = onnx.load(SHIPPED)
    for tensor in held_tensors(model):
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    del model.graph.value_info[:]
    write_properties(model, replace(StandardFile.read(SHIPPED).properties, precision="fp32"))
    path = tmp_path_factory.mktemp("shipped") / "fp32.onnx"
    onnx.save_model(model, path)
    return StandardFile.read(path)


@pytest.fixture(scope="module")
def body(detector: StandardFile) -> NetworkBody:
    return NetworkBody.of(onnx.load(detector.path))


@pytest.fixture(scope="module")
def rule(detector: StandardFile) -> MatchRule:
    return MatchRule(serving_thresholds(read_policy(None), detector.properties.labels, otherwise=1.0))


@pytest.fixture(scope="module")
def source(detector: StandardFile) -> FrameSource:
    return FrameSource(MODEL_REPOSITORY, detector.frames, detector.side)


@pytest.fixture(scope="module")
def frames(source: FrameSource) -> np.ndarray:
    return source.look(SAMPLES / "tiger_passing.mp4").frames


def test_the_body_holds_all_convolutions_and_no_suppression(body: NetworkBody) -> None:
    inside = [node.op_type for node in body.extract().graph.node]
    everywhere = [node.op_type for node in body.whole.graph.node]
    assert inside.count("Conv") == everywhere.count("Conv") > 20
    assert not {"TopK", "Sigmoid", "Exp", "Softmax"} & set(inside)


def test_fp16_sees_the_same(detector: StandardFile, body: NetworkBody, frames: np.ndarray, rule: MatchRule) -> None:
    half = body.replaced(halved(body.extract()), "again_")
    result = Differences(rule)
    result.add(*(detect(OnnxRunner(runnable, 1), frames, detector.frames) for runnable in (detector.path, half)))
    assert result.pairs > 0
    assert (result.missing, result.extra) == (0, 0)
    assert max(result.score) < 0.005
    assert max(result.box) < 0.005


@pytest.mark.timeout(400)  # minutes, where other work shares the cores
def test_int8_sees_nearly_the_same(
    detector: StandardFile, source: FrameSource, frames: np.ndarray, rule: MatchRule
) -> None:
    others = [file for file in video_files([SAMPLES]) if file.path.suffix == ".mp4" and "tiger" not in file.path.name]
    calibration = np.concatenate([video.frames for video in source.look_at_all(others)])
    plan = Int8Plan(Dialect.CPU, Method.MINMAX, SENSITIVE, SearchLimits(max_loss=1, seconds=0))
    converted = to_int8(detector, CalibrationSplit(calibration, frames), plan, rule)
    result = converted.cost.differences
    assert result.pairs > 0
    assert (result.missing, result.extra) == (0, 0)
    assert 0 < max(result.score) < 0.1
    assert converted.coverage is not None
    assert converted.coverage.enough
