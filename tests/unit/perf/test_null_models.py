"""The repository of models that do nothing."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from wildgate_perf.null_models import null_repository
from wildgate_server.repository.manifest import load_manifest
from wildgate_server.repository.model_configs import check_configs
from wildgate_server.repository.releases import load_releases, load_rollout, verify_files


@pytest.fixture
def repository(model_repository: Path, tmp_path: Path) -> Path:
    return null_repository(model_repository, tmp_path / "models")


def test_a_gateway_takes_it_for_the_real_one(repository: Path, model_repository: Path) -> None:
    manifest = load_manifest(repository)
    assert manifest == load_manifest(model_repository)
    assert check_configs(manifest, load_rollout(repository), repository) == []
    releases = load_releases(repository, manifest)
    assert releases.serving.labels == load_releases(model_repository, manifest).serving.labels
    for release in releases.by_version.values():
        verify_files(repository, release)


def test_the_real_one_is_left_alone(repository: Path, model_repository: Path) -> None:
    verify_files(model_repository, load_releases(model_repository, load_manifest(model_repository)).serving)
    with pytest.raises(FileExistsError):
        null_repository(model_repository, repository)


class FakeTensor:
    def __init__(self, name: str, array: np.ndarray) -> None:
        self.name, self.array = name, array

    def shape(self) -> tuple[int, ...]:
        return self.array.shape


def loaded(file: Path, config: dict[str, Any]) -> Any:
    fake = SimpleNamespace(
        Tensor=FakeTensor,
        InferenceResponse=lambda tensors: tensors,
        get_input_tensor_by_name=lambda request, name: request[name],
        triton_string_to_numpy={"TYPE_UINT8": np.uint8, "TYPE_FP32": np.float32}.__getitem__,
    )
    spec = importlib.util.spec_from_file_location("null_model", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules["triton_python_backend_utils"] = fake
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["triton_python_backend_utils"]
    model = module.TritonPythonModel()
    model.initialize({"model_config": json.dumps(config)})
    return model


def test_a_null_model_answers_zeros_of_the_configured_shape(repository: Path) -> None:
    config = {
        "max_batch_size": 4,
        "input": [{"name": "CLIP"}, {"name": "FRAME_INDEX"}, {"name": "DISPLAY"}],
        "output": [{"name": "FRAMES", "dims": ["8", "32", "32", "3"], "data_type": "TYPE_UINT8"}],
    }
    model = loaded(repository / "clip_decoder" / "1" / "model.py", config)
    requests = [{"DISPLAY": FakeTensor("DISPLAY", np.zeros((rows, 4), np.int32))} for rows in (1, 3)]
    [[one], [three]] = model.execute(requests)
    assert (one.name, one.array.shape, one.array.dtype) == ("FRAMES", (1, 8, 32, 32, 3), np.uint8)
    assert three.array.shape == (3, 8, 32, 32, 3)
    assert not three.array.any()
