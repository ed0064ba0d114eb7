"""Engines of the shipped detector on a real GPU: they load, and they detect what ONNX Runtime does.

Has not run on a GPU yet.
"""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import onnxruntime
import pytest
from checkout import SAMPLES

from wildgate_build.engine.artifacts import write_engine
from wildgate_build.engine.builder import EnginePlan, build_engine
from wildgate_build.engine.runtime import EngineRunner
from wildgate_server.repository.engine_key import PORTABLE_ARCHITECTURES
from wildgate_server.repository.machine import Gpu, Machine

WINDOWS, FRAMES, SIDE = 5, 8, 320
LARGEST = 4
# TF32 products and another order of sums; a detection whose score lies near another's may change places with it.
SCORE_TOLERANCE = 0.02
BOX_TOLERANCE = 0.02
SURE = 0.3


@pytest.fixture(scope="session")
def windows() -> np.ndarray:
    """Frames of the sample clips, uint8 [WINDOWS, FRAMES, SIDE, SIDE, 3]."""
    pictures = []
    for clip in sorted(SAMPLES.glob("*.mp4")):
        with av.open(str(clip)) as container:
            for frame in container.decode(video=0):
                pictures.append(cv2.resize(frame.to_ndarray(format="rgb24"), (SIDE, SIDE)))
                if len(pictures) == WINDOWS * FRAMES:
                    return np.stack(pictures).reshape(WINDOWS, FRAMES, SIDE, SIDE, 3)
    raise AssertionError("the samples hold too few frames")


@pytest.fixture(scope="session")
def reference(shipped: Path, windows: np.ndarray) -> np.ndarray:
    """What ONNX Runtime detects in them."""
    session = onnxruntime.InferenceSession(shipped, providers=["CPUExecutionProvider"])
    detections: np.ndarray = session.run(None, {"FRAMES": windows})[0]
    assert (detections[..., 4] > SURE).sum() >= WINDOWS  # There is something to compare.
    return detections


@pytest.mark.parametrize("target", ["rtx", "tensorrt"])
@pytest.mark.parametrize("architecture", [None, "current"])
def test_an_engine_detects_what_onnx_runtime_does(
    tmp_path: Path,
    shipped: Path,
    windows: np.ndarray,
    reference: np.ndarray,
    gpu: Gpu,
    machine: Machine,
    target: str,
    architecture: str | None,
) -> None:
    if target not in machine.tensorrt:
        pytest.skip(f"the runtime of target {target} is not installed")
    pytest.importorskip("pycuda.driver", reason="pycuda cannot be loaded", exc_type=ImportError)
    built = build_engine(EnginePlan(shipped, target, LARGEST, architecture))
    if target == "tensorrt" or architecture:
        assert built.key.architectures == (gpu.architecture,)
    else:
        assert built.key.architectures == PORTABLE_ARCHITECTURES
    engine = tmp_path / "engine"
    write_engine(engine, built.engine, built.key)
    with EngineRunner(engine) as run:
        detections = run(windows)
        again = run(windows[:1])
    assert np.abs(np.sort(detections[..., 4]) - np.sort(reference[..., 4])).max() < SCORE_TOLERANCE
    assert np.abs(again - detections[:1]).max() < SCORE_TOLERANCE
    for row, wanted in zip(detections.reshape(-1, 16, 6), reference.reshape(-1, 16, 6), strict=True):
        for box in wanted[wanted[:, 4] > SURE]:
            same_label = row[row[:, 5] == box[5]]
            assert np.abs(same_label[:, :4] - box[:4]).max(axis=1).min() < BOX_TOLERANCE
