"""A stand-in for Triton's Python backend: loads a Python model of the repository and hands it requests.

Only what the models use is here; `tests/integration` runs them in the real one.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
from checkout import MODEL_REPOSITORY
from google.protobuf import json_format, text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig


@dataclass
class Tensor:
    tensor_name: str
    array: np.ndarray

    def name(self) -> str:
        return self.tensor_name

    def as_numpy(self) -> np.ndarray:
        return self.array

    @staticmethod
    def from_dlpack(name: str, tensor: object) -> Tensor:
        return Tensor(name, np.from_dlpack(tensor))


class TritonError(Exception):
    INTERNAL, INVALID_ARG, UNSUPPORTED = "INTERNAL", "INVALID_ARG", "UNSUPPORTED"

    def __init__(self, message: str, code: str = INTERNAL) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class InferenceResponse:
    output_tensors: list[Tensor] = field(default_factory=list)
    error: TritonError | None = None

    def array(self, name: str | None = None) -> np.ndarray:
        """The output of this name; without one, the first."""
        assert self.error is None, self.error
        arrays = {tensor.tensor_name: tensor.array for tensor in self.output_tensors}
        return arrays[name] if name else next(iter(arrays.values()))


@dataclass
class InferenceRequest:
    tensors: dict[str, np.ndarray]


class Logger:
    errors: list[str]
    warnings: list[str]

    def __init__(self) -> None:
        self.errors = []
        self.warnings = []

    def log_error(self, message: str) -> None:
        self.errors.append(message)

    def log_warn(self, message: str) -> None:
        self.warnings.append(message)


def _tensor_of(request: InferenceRequest, name: str) -> Tensor | None:
    array = request.tensors.get(name)
    return None if array is None else Tensor(name, array)


def _config_of(role: str, config: dict, name: str) -> dict:
    return next(tensor for tensor in config[role] if tensor["name"] == name)


def load_model(name: str, file: str = "model.py") -> ModuleType:
    """The module `model_repository/<name>/1/<file>`, loaded as the stub would."""
    backend = ModuleType("triton_python_backend_utils")
    backend.Tensor = Tensor
    backend.TritonError = TritonError
    backend.InferenceResponse = InferenceResponse
    backend.Logger = Logger()
    backend.get_input_tensor_by_name = _tensor_of
    backend.get_input_config_by_name = lambda config, tensor: _config_of("input", config, tensor)
    backend.get_output_config_by_name = lambda config, tensor: _config_of("output", config, tensor)
    sys.modules[backend.__name__] = backend
    try:
        spec = importlib.util.spec_from_file_location(f"{name}_{Path(file).stem}", MODEL_REPOSITORY / name / "1" / file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[module.__name__] = module  # Its dataclasses look themselves up here.
        spec.loader.exec_module(module)
    finally:
        del sys.modules[backend.__name__]
    return module


def model_config(name: str, profile: str = "cpu") -> str:
    """The committed config of `name` as the JSON that Triton gives to `initialize`."""
    own = MODEL_REPOSITORY / name / "configs" / f"{profile}.pbtxt"
    text = (own if own.is_file() else MODEL_REPOSITORY / name / "config.pbtxt").read_text()
    config = text_format.Parse(text, ModelConfig())
    return json.dumps(json_format.MessageToDict(config, preserving_proto_field_name=True))
