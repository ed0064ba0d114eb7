"""Engines built by the real TensorRT-RTX, on a machine without a GPU."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from engine_detectors import F, K, S, write_means

from wildgate_build.engine.builder import BuiltEngine, EnginePlan, build_engine
from wildgate_build.errors import BuildFailedError, EngineError
from wildgate_server.repository.machine import Machine

pytestmark = pytest.mark.usefixtures("tensorrt_rtx")


def build(onnx_file: Path, machine: Machine, **changes: object) -> BuiltEngine:
    return build_engine(EnginePlan(onnx_file, **({"target": "rtx", "max_batch": 4} | changes)), machine)


@pytest.fixture(scope="session")
def shipped(model_repository: Path) -> Path:
    return model_repository / "wildlife_detector" / "1" / "engine.onnx"


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_precision_is_what_the_file_says(tmp_path: Path, bare: Machine, precision: str) -> None:
    file = write_means(tmp_path / "detector.onnx", precision=precision)
    built = build(file, bare)
    assert built.key.precision == precision
    assert (built.key.frames, built.key.side, built.key.detections, built.key.max_batch) == (F, S, K, 4)


def test_named_architectures_are_in_the_key(detector: Path, bare: Machine) -> None:
    portable = build(detector, bare)
    named = build(detector, bare, architecture="8.9, 12.0,8.9")
    assert portable.key.architectures == ("8.0+",)
    assert named.key.architectures == ("8.9", "12.0")


@pytest.mark.parametrize(
    ("architecture", "error", "message"),
    [
        ("9.0", EngineError, "not '9.0'; `current` builds for the GPU at hand"),
        ("8.9,sm_80", EngineError, "not 'sm_80'"),
        ("", EngineError, "not ''"),
        ("current", EngineError, "this machine has no NVIDIA GPU"),
    ],
)
def test_architectures_that_cannot_be_built_for(
    detector: Path, bare: Machine, architecture: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        build(detector, bare, architecture=architecture)


def test_the_builders_own_reason_is_quoted(shipped: Path, bare: Machine) -> None:
    with pytest.raises(BuildFailedError, match=r"gave no engine for 8\.0\+: .*Error Code"):
        build(shipped, bare, workspace_mb=1)


def test_an_operator_that_tensorrt_lacks_is_named(tmp_path: Path, bare: Machine) -> None:
    with pytest.raises(EngineError, match="operator: NoSuchOperator"):
        build(write_means(tmp_path / "detector.onnx", operator="NoSuchOperator"), bare)


def test_a_network_that_is_not_what_its_file_declares(tmp_path: Path, bare: Machine) -> None:
    file = write_means(tmp_path / "detector.onnx", detections=10)
    with pytest.raises(EngineError) as caught:
        build(file, bare)
    assert str(caught.value) == (
        f"{file}: the parsed network has input FRAMES uint8 [b,8,32,32,3], output DETECTIONS float [b,8,10,6]; "
        "a standard detector has input FRAMES uint8 [b,8,32,32,3], output DETECTIONS float [b,8,16,6]"
    )


def test_a_timing_cache_is_not_for_rtx(detector: Path, bare: Machine, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="keeps a runtime cache where it runs"):
        build(detector, bare, timing_cache=tmp_path / "timings")
    assert not (tmp_path / "timings").exists()


@pytest.fixture
def rtx_as_tensorrt(monkeypatch: pytest.MonkeyPatch, tensorrt_rtx: object) -> None:
    """TensorRT-RTX in place of TensorRT, which has the same API but builds on a GPU only."""
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_rtx)


@pytest.mark.usefixtures("rtx_as_tensorrt")
def test_a_plan_is_for_the_gpu_at_hand(detector: Path, ada: Machine, bare: Machine) -> None:
    built = build(detector, ada, target="tensorrt")
    assert (built.key.target, built.key.architectures) == ("tensorrt", ("8.9",))
    with pytest.raises(EngineError, match="this machine has no NVIDIA GPU"):
        build(detector, bare, target="tensorrt")
    with pytest.raises(EngineError, match="TensorRT builds for the GPU at hand alone"):
        build(detector, ada, target="tensorrt", architecture="8.9")


def test_a_runtime_that_is_not_installed_is_named(
    detector: Path, ada: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(EngineError, match=r"TensorRT is not installed .* pip install 'wildgate\[gpu\]'"):
        build(detector, ada, target="tensorrt")
