"""rtx_model.py on a real GPU: frames on the host and on the device give the same detections.

Has not run on a GPU yet.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from wildgate_build.engine.artifacts import write_engine
from wildgate_build.engine.builder import EnginePlan, build_engine
from wildgate_server.repository.machine import Machine

MODEL = "rtx_model.py"
WINDOW, BATCH = (8, 320, 320, 3), 4
CONFIG = {
    "max_batch_size": BATCH,
    "input": [{"name": "FRAMES", "dims": list(map(str, WINDOW))}],
    "output": [{"name": "DETECTIONS", "dims": ["8", "16", "6"]}],
}
CUDA_DEVICE = 2  # kDLCUDA


class DLManagedTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )


@dataclass
class Tensor:
    name: str
    array: np.ndarray

    def is_cpu(self) -> bool:
        return True

    def as_numpy(self) -> np.ndarray:
        return self.array


class DeviceTensor(Tensor):
    """A copy of the array in device memory."""

    def __init__(self, name: str, array: np.ndarray, driver: ModuleType) -> None:
        super().__init__(name, array)
        self.memory = driver.mem_alloc(array.nbytes)
        driver.memcpy_htod(self.memory, array)
        self.sizes = (ctypes.c_int64 * array.ndim)(*array.shape)
        shape = ctypes.cast(self.sizes, ctypes.POINTER(ctypes.c_int64))
        self.tensor = DLManagedTensor(int(self.memory), CUDA_DEVICE, 0, array.ndim, 1, 8, 1, shape, None, 0, None, None)

    def is_cpu(self) -> bool:
        return False

    def to_dlpack(self) -> object:
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
        return new(ctypes.addressof(self.tensor), b"dltensor", None)


@dataclass
class Response:
    tensors: list[Tensor] = field(default_factory=list)
    error: Exception | None = None


class Logger:
    log_error = log_warn = log_info = staticmethod(print)


@pytest.fixture
def module(model_repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("pycuda.driver", reason="pycuda cannot be loaded", exc_type=ImportError)
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    backend = ModuleType("triton_python_backend_utils")
    backend.Tensor, backend.InferenceResponse, backend.Logger = Tensor, Response, Logger
    backend.TritonError = type("TritonError", (Exception,), {"INTERNAL": "INTERNAL", "INVALID_ARG": "INVALID_ARG"})
    backend.get_input_tensor_by_name = lambda request, name: request[name]
    backend.get_input_config_by_name = lambda config, name: config["input"][0]
    backend.get_output_config_by_name = lambda config, name: config["output"][0]
    monkeypatch.setitem(sys.modules, backend.__name__, backend)
    spec = importlib.util.spec_from_file_location("rtx_model_on_gpu", model_repository / "wildlife_detector/1" / MODEL)
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, loaded.__name__, loaded)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def model(
    module: ModuleType, shipped: Path, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[object]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "1"
    folder.mkdir()
    built = build_engine(EnginePlan(shipped, "rtx", BATCH, "current"), machine)
    write_engine(folder / "model.rtx", built.engine, built.key)
    model = module.TritonPythonModel()
    model.initialize({"model_config": json.dumps(CONFIG), "model_repository": str(tmp_path), "model_version": "1"})
    [kernels] = (tmp_path / "cache" / "wildgate").iterdir()
    assert kernels.stat().st_size > 0
    yield model
    model.finalize()


def test_frames_on_the_device_and_on_the_host(model: object, module: ModuleType) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, *WINDOW), np.uint8)
    assert math.prod(pixels.shape) == pixels.nbytes
    on_host = [{"FRAMES": Tensor("FRAMES", pixels)}]
    [wanted] = model.execute(on_host)
    assert wanted.error is None
    model._gpu.push()
    try:
        on_device = [{"FRAMES": DeviceTensor("FRAMES", pixels, module.cuda)}]
        apart = [{"FRAMES": DeviceTensor("FRAMES", row[None], module.cuda)} for row in pixels]
    finally:
        model._gpu.pop()
    [bound] = model.execute(on_device)
    gathered = model.execute(apart)
    assert bound.error is None
    assert [response.error for response in gathered] == [None] * 3
    expected = wanted.tensors[0].array
    assert np.abs(bound.tensors[0].array - expected).max() < 1e-3
    together = np.concatenate([response.tensors[0].array for response in gathered])
    assert np.abs(together - expected).max() < 1e-3
