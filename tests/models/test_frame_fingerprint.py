"""What frame_fingerprint makes of requests, with the shipped graph."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from checkout import MODEL_REPOSITORY
from triton_seam import InferenceRequest, load_model, model_config

F, S, K = 8, 320, 27


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return load_model("frame_fingerprint")


def initialize(module: ModuleType, repository: Path):
    model = module.TritonPythonModel()
    config = model_config("frame_fingerprint")
    model.initialize({"model_config": config, "model_repository": str(repository), "model_version": "1"})
    return model


def request(*seeds: int) -> InferenceRequest:
    frames = [np.random.default_rng(seed).integers(0, 256, (F, S, S, 3), np.uint8) for seed in seeds]
    return InferenceRequest({"FRAMES": np.stack(frames), "PICTURE_SIZE": np.full((len(seeds), F, 2), 640, np.int32)})


def test_each_request_gets_its_own_rows(module: ModuleType) -> None:
    model = initialize(module, MODEL_REPOSITORY / "frame_fingerprint")
    together = model.execute([request(1), request(2, 3), request(4)])
    assert [response.array("FINGERPRINT").shape for response in together] == [(n, F, K, 32) for n in (1, 2, 1)]
    assert [response.array("FINGERPRINT_QUALITY").shape for response in together] == [(n, F, K) for n in (1, 2, 1)]
    for name in ("FINGERPRINT", "FINGERPRINT_QUALITY"):
        [alone] = model.execute([request(3)])
        np.testing.assert_array_equal(together[1].array(name)[1:], alone.array(name))


@pytest.mark.parametrize("count", [1, 3])
def test_a_window_of_fewer_frames_is_worth_what_those_are(module: ModuleType, count: int) -> None:
    model = initialize(module, MODEL_REPOSITORY / "frame_fingerprint")
    fewer = request(1)
    for tensor in fewer.tensors.values():
        tensor[:, count:] = tensor[:, count - 1 : count]
    [response] = model.execute([fewer])
    inputs = {name: tensor[:, :count] for name, tensor in fewer.tensors.items()}
    session = module.open_session(MODEL_REPOSITORY / "frame_fingerprint" / "1" / "model.onnx")
    names = ["FINGERPRINT", "FINGERPRINT_QUALITY"]
    for name, wanted in zip(names, session.run(names, inputs), strict=True):
        answer = response.array(name)
        np.testing.assert_array_equal(answer[:, :count], wanted)
        assert (answer[:, count:] == wanted[:, -1:]).all()


def test_frames_that_differ_in_their_size_alone_are_two(module: ModuleType) -> None:
    frames, sizes = np.zeros((2, S, S, 3), np.uint8), np.array([[640, 360], [0, 0]], np.int32)
    assert module.frames_of(frames, sizes) == 2
    assert module.frames_of(frames, sizes[[0, 0]]) == 1


def test_a_surprise_fails_the_requests_and_not_the_model(module: ModuleType) -> None:
    model = initialize(module, MODEL_REPOSITORY / "frame_fingerprint")
    broken = InferenceRequest({"FRAMES": np.zeros((1, 2, 2), np.uint8), "PICTURE_SIZE": np.zeros((1, 2), np.int32)})
    failed = model.execute([broken, request(1)])
    assert [response.error.code for response in failed] == ["INTERNAL", "INTERNAL"]
    [fine] = model.execute([request(1)])
    assert fine.array("FINGERPRINT").any()


def test_a_graph_that_is_not_what_the_config_says_is_refused(module: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    shutil.copy(MODEL_REPOSITORY / "wildlife_detector" / "1" / "model.onnx", tmp_path / "1")
    with pytest.raises(
        ValueError, match=r"model\.onnx has the tensors .*DETECTIONS.* config\.pbtxt says .*FINGERPRINT"
    ):
        initialize(module, tmp_path)
