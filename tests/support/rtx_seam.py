"""Stand-ins for pycuda and TensorRT-RTX: a GPU whose memory is the host's and whose stream works when waited for.

Addresses are real, so that what a DLPack capsule says is really read.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import numpy as np
import triton_seam

MODEL = triton_seam.MODEL_REPOSITORY / "wildlife_detector" / "1" / "rtx_model.py"
VERSION = "1.7.1.116"
ENGINE = b"an engine"
ALIGNMENT = 256


@dataclass
class HostTensor(triton_seam.Tensor):
    def is_cpu(self) -> bool:
        return True


@dataclass
class GpuTensor(triton_seam.Tensor):
    def is_cpu(self) -> bool:
        return False

    def to_dlpack(self) -> object:
        return self.array.__dlpack__()


class Allocation:
    """Device memory, aligned as cudaMalloc aligns it; it is freed while its context is there."""

    def __init__(self, gpu: Gpu, size: int) -> None:
        self.array = aligned(size)
        self.gpu = gpu
        gpu.allocated += 1

    def __int__(self) -> int:
        return self.array.ctypes.data

    def free(self) -> None:
        assert self.gpu.pushed == 1
        self.gpu.allocated -= 1


def aligned(size: int, offset: int = 0) -> np.ndarray:
    """`size` bytes, `offset` bytes after an aligned address."""
    room = np.zeros(size + 2 * ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT + offset
    return room[start : start + size]


@dataclass
class Gpu:
    """What the stand-ins share: queued work, and what was done to the context, the engine and the cache."""

    architecture: tuple[int, int] = (8, 9)
    name: str = "NVIDIA L4"
    loads: bool = True
    fails: bool = False
    largest: int = 100
    allocated: int = 0
    queue: list[Callable[[], None]] = field(default_factory=list)
    pushed: int = 0
    bound: dict[str, int] = field(default_factory=dict)
    runs: list[int] = field(default_factory=list)
    run_on: list[int] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    kernels: bytes = b""

    def copy(self, kind: str, target: int, source: int, size: int) -> None:
        assert self.pushed == 1
        self.copies.append(kind)
        self.queue.append(lambda: ctypes.memmove(target, source, size))

    def synchronize(self) -> None:
        for work in self.queue:
            work()
        self.queue.clear()

    def driver(self) -> ModuleType:
        """pycuda.driver."""
        module = ModuleType("pycuda.driver")
        module.init = lambda: None
        module.Device = lambda number: SimpleNamespace(
            name=lambda: self.name,
            compute_capability=lambda: self.architecture,
            retain_primary_context=lambda: SimpleNamespace(push=self._push, pop=self._pop),
        )
        module.Stream = lambda: SimpleNamespace(handle=77, synchronize=self.synchronize)
        module.pagelocked_empty = np.zeros
        module.Error = OSError
        module.mem_alloc = lambda size: Allocation(self, size)
        module.memcpy_htod_async = lambda target, array, stream: self.copy(
            "in", int(target), array.ctypes.data, array.nbytes
        )
        module.memcpy_dtoh_async = lambda array, source, stream: self.copy(
            "out", array.ctypes.data, int(source), array.nbytes
        )
        module.memcpy_dtod_async = lambda target, source, size, stream: self.copy(
            "on device", int(target), int(source), size
        )
        return module

    def tensorrt(self) -> ModuleType:
        """tensorrt_rtx."""
        module = ModuleType("tensorrt_rtx")
        module.__version__ = VERSION
        module.ILogger = type("ILogger", (), {"ERROR": "error", "INTERNAL_ERROR": "internal", "WARNING": "warning"})
        module.Runtime = lambda log: SimpleNamespace(deserialize_cuda_engine=lambda content: self._load(content, log))
        return module

    def _push(self) -> None:
        self.pushed += 1

    def _pop(self) -> None:
        self.pushed -= 1

    def _load(self, content: bytes, log: object) -> object:
        assert content == ENGINE
        if not self.loads:
            log.log("error", "Unsupported compute capability")
            return None
        cache = SimpleNamespace(deserialize=self._restore, serialize=lambda: memoryview(self.kernels))
        config = SimpleNamespace(create_runtime_cache=lambda: cache, set_runtime_cache=lambda cache: True)
        return SimpleNamespace(create_runtime_config=lambda: config, create_execution_context=lambda config=None: self)

    def _restore(self, content: bytes) -> bool:
        self.kernels = content
        return True

    # The execution context.
    def set_tensor_address(self, name: str, address: int) -> bool:
        self.bound[name] = address
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name == "FRAMES"
        self.shape = shape
        return shape[0] <= self.largest

    def execute_async_v3(self, stream: int) -> bool:
        """Queues: every value of a detection is its frame's mean."""
        assert (stream, self.pushed) == (77, 1)
        if self.fails:
            return False
        rows, frames = self.shape[:2]
        source, target = self.bound["FRAMES"], self.bound["DETECTIONS"]
        self.runs.append(rows)
        self.run_on.append(source)
        self.kernels = self.kernels or b"compiled"

        def run() -> None:
            count = int(np.prod(self.shape))
            pixels = np.frombuffer((ctypes.c_uint8 * count).from_address(source), np.uint8)
            means = pixels.reshape(rows, frames, -1).mean(axis=2, dtype=np.float32)
            answer = np.repeat(means.reshape(-1), self.detections * 6)
            ctypes.memmove(target, answer.ctypes.data, answer.nbytes)

        self.queue.append(run)
        return True

    detections = 3


class Logger(triton_seam.Logger):
    def log_info(self, message: str) -> None:
        self.errors.append(message)

    log_warn = log_info


def load_model(gpu: Gpu) -> ModuleType:
    """rtx_model.py, loaded as the stub would, on `gpu`."""
    backend = ModuleType("triton_python_backend_utils")
    backend.Tensor = triton_seam.Tensor
    backend.TritonError = triton_seam.TritonError
    backend.InferenceResponse = triton_seam.InferenceResponse
    backend.Logger = Logger()
    backend.get_input_tensor_by_name = lambda request, name: request.tensors[name]
    backend.get_input_config_by_name = lambda config, name: _named(config["input"], name)
    backend.get_output_config_by_name = lambda config, name: _named(config["output"], name)
    driver = gpu.driver()
    pycuda = ModuleType("pycuda")
    pycuda.driver = driver
    stand_ins = {module.__name__: module for module in (backend, pycuda, driver, gpu.tensorrt())}
    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    try:
        spec = importlib.util.spec_from_file_location("wildlife_detector_rtx_model", MODEL)
        module = importlib.util.module_from_spec(spec)
        sys.modules[module.__name__] = module  # Its dataclasses look themselves up here.
        spec.loader.exec_module(module)
    finally:
        for name, earlier in before.items():
            if earlier is None:
                del sys.modules[name]
            else:
                sys.modules[name] = earlier
    return module


def _named(tensors: list[dict], name: str) -> dict:
    return next(tensor for tensor in tensors if tensor["name"] == name)
