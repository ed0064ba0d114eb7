"""wildlife_detector: frames to detections with TensorRT-RTX on the GPU (profile `rtx`).

`model.rtx` beside this file is `model.onnx`, compiled by `wildgate-build engine --target rtx`; `model.rtx.json` is its
key. An engine that does not fit this machine is refused at start, with the command that builds the right one; whether
it was built from this very `model.onnx`, `wildgate serve` checks. Frames that are on the GPU already stay there: a lone
request is bound where it lies, several are gathered on the device into one batch. Frames on the host, from a CPU
decoder, are copied in.

A stock tritonserver loads this file: it imports numpy, pycuda, tensorrt_rtx and Triton's own module, nothing else. Has
not run on a GPU yet; what needs none is tested with stand-ins for the three.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import math
import os
import shlex
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycuda.driver as cuda
import tensorrt_rtx
import triton_python_backend_utils as pb_utils

_INPUT, _OUTPUT = "FRAMES", "DETECTIONS"
_ENGINE = "model.rtx"
# A batch is bound where it lies if its address is as well aligned as what cudaMalloc gives; else it is copied.
_ALIGNMENT = 256
_PORTABLE_SINCE = (8, 0)  # Engines are built for this architecture and later ones unless told otherwise.


class EngineRefusedError(Exception):
    """The engine cannot be used here; the text names what differs and the command that builds the right one."""


class FramesRefusedError(Exception):
    """A request's frames have another shape or type than the engine takes."""


# DLPack, https://dmlc.github.io/dlpack/latest/c_api.html: what a capsule called "dltensor" points to.
_DLPACK_UINT8 = (1, 8, 1)  # code kDLUInt, bits, lanes


class _DLTensor(ctypes.Structure):
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
    )


_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p
_capsule_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)


@dataclass(frozen=True)
class DeviceFrames:
    """Frames on the GPU: address, sizes, and the capsule that keeps them there."""

    address: int
    shape: tuple[int, ...]
    capsule: object

    @classmethod
    def of(cls, capsule: object) -> DeviceFrames:
        """What a DLPack capsule points to. It is only looked at, so it goes on owning the memory.

        Raises FramesRefusedError when it is no uint8, or has gaps.
        """
        tensor = _DLTensor.from_address(_capsule_pointer(capsule, b"dltensor"))
        kind = (tensor.code, tensor.bits, tensor.lanes)
        if kind != _DLPACK_UINT8:
            raise FramesRefusedError(f"{_INPUT} has the DLPack type {kind}, not uint8")
        shape = tuple(tensor.shape[: tensor.ndim])
        compact = [math.prod(shape[axis + 1 :]) for axis in range(tensor.ndim)]
        if tensor.strides and tensor.strides[: tensor.ndim] != compact:
            raise FramesRefusedError(f"{_INPUT} has gaps between its values")
        return cls(tensor.data + tensor.byte_offset, shape, capsule)

    def __len__(self) -> int:
        return self.shape[0]


Frames = DeviceFrames | np.ndarray


@dataclass(frozen=True)
class Shapes:
    """What the model's config promises: F, S, K, and the largest batch."""

    frames: int
    side: int
    detections: int
    max_batch: int

    @classmethod
    def of(cls, config: dict) -> Shapes:
        """The shapes of a model config as Triton gives it to `initialize`."""
        into = [int(dim) for dim in pb_utils.get_input_config_by_name(config, _INPUT)["dims"]]
        out = [int(dim) for dim in pb_utils.get_output_config_by_name(config, _OUTPUT)["dims"]]
        return cls(into[0], into[1], out[1], int(config["max_batch_size"]))

    @property
    def window(self) -> tuple[int, ...]:
        """One row of FRAMES."""
        return self.frames, self.side, self.side, 3

    @property
    def answer(self) -> tuple[int, ...]:
        """One row of DETECTIONS."""
        return self.frames, self.detections, 6


def read_engine(folder: Path, shapes: Shapes, gpu: str, architecture: tuple[int, int]) -> bytes:
    """The engine in `folder`, when its key says that it runs on this GPU and does what the config promises.

    Raises EngineRefusedError naming every difference.
    """
    engine = folder / _ENGINE
    try:
        content = engine.read_bytes()
        key = json.loads(engine.with_name(f"{_ENGINE}.json").read_bytes())
        complaints = list(_differences(key, content, shapes, gpu, architecture))
    except OSError as error:
        complaints = [f"cannot be read: {error}"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        complaints = [f"its key {_ENGINE}.json is broken: {type(error).__name__}: {error}"]
    if complaints:
        command = ["wildgate-build", "engine", str(folder / "model.onnx"), "--target", "rtx", "--output", str(engine)]
        command += ["--max-batch", str(shapes.max_batch)]
        if architecture < _PORTABLE_SINCE:
            command += ["--architecture", "current"]
        remedy = f"build the right one with: {shlex.join(command)}"
        raise EngineRefusedError("\n  ".join([f"{engine} does not fit:", *complaints, remedy]))
    return content


def _differences(key: dict, content: bytes, shapes: Shapes, gpu: str, architecture: tuple[int, int]) -> Iterator[str]:
    if key["target"] != "rtx":
        yield f"target: the engine's is {key['target']}, this model's rtx"
    found = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if found != key["engine_digest"]:
        yield f"engine digest: the key's is {key['engine_digest']}, the file's {found}"
    for name in ("frames", "side", "detections"):
        if key[name] != getattr(shapes, name):
            yield f"{name}: the engine's are {key[name]}, the config's {getattr(shapes, name)}"
    if key["max_batch"] < shapes.max_batch:
        yield f"largest batch: the engine's is {key['max_batch']}, the config's {shapes.max_batch}"
    version = tensorrt_rtx.__version__
    if version != key["tensorrt_version"]:
        yield f"TensorRT-RTX version: the engine's is {key['tensorrt_version']}, this machine's {version}"
    if not any(_runs_on(wanted, architecture) for wanted in key["architectures"]):
        wanted = ", ".join(name.replace("+", " and later") for name in key["architectures"])
        here = ".".join(map(str, architecture))
        yield f"GPU architecture: the engine's is {wanted}, this machine's {here} ({gpu})"


def _runs_on(wanted: str, architecture: tuple[int, int]) -> bool:
    major, minor = wanted.removesuffix("+").split(".")
    built_for = int(major), int(minor)
    return architecture >= built_for if wanted.endswith("+") else architecture == built_for


class Log(tensorrt_rtx.ILogger):
    """TensorRT-RTX's log, in Triton's; the last error is kept for our own message."""

    def __init__(self) -> None:
        super().__init__()
        self.last_error = "no reason given"

    def log(self, severity: object, message: str) -> None:
        """Called by TensorRT-RTX."""
        if severity in (tensorrt_rtx.ILogger.ERROR, tensorrt_rtx.ILogger.INTERNAL_ERROR):
            self.last_error = message
            pb_utils.Logger.log_error(f"TensorRT-RTX: {message}")
        elif severity == tensorrt_rtx.ILogger.WARNING:
            pb_utils.Logger.log_warn(f"TensorRT-RTX: {message}")


class Engine:
    """The engine, ready to run on one stream, with buffers for the largest batch; its context has to be current."""

    def __init__(self, content: bytes, shapes: Shapes, cache: Path) -> None:
        self._shapes, self._cache_file, self._log = shapes, cache, Log()
        self._runtime = tensorrt_rtx.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(content)
        if self._engine is None:
            raise EngineRefusedError(f"{_ENGINE} cannot be loaded: {self._log.last_error}")
        config = self._engine.create_runtime_config()
        self._cache = config.create_runtime_cache()
        with contextlib.suppress(OSError):
            self._cache.deserialize(cache.read_bytes())  # One that does not fit is left out.
        config.set_runtime_cache(self._cache)
        self._context = self._engine.create_execution_context(config)
        if self._context is None:
            raise EngineRefusedError(f"{_ENGINE} has no room to run: {self._log.last_error}")
        batch = shapes.max_batch
        self._stream = cuda.Stream()
        self._host_frames = cuda.pagelocked_empty((batch, *shapes.window), np.uint8)
        self._host_detections = cuda.pagelocked_empty((batch, *shapes.answer), np.float32)
        self._device_frames = cuda.mem_alloc(self._host_frames.nbytes)
        self._device_detections = cuda.mem_alloc(self._host_detections.nbytes)
        self._context.set_tensor_address(_OUTPUT, int(self._device_detections))

    def save_cache(self) -> None:
        """Keeps the kernels that were compiled for this GPU, so that the next start need not; best effort."""
        part = self._cache_file.with_name(f"{self._cache_file.name}.{os.getpid()}.part")
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(bytes(self._cache.serialize()))
            part.replace(self._cache_file)
        except OSError as error:
            pb_utils.Logger.log_info(f"wildlife_detector: kernels are not kept: {error}")
            with contextlib.suppress(OSError):
                part.unlink()

    def run(self, batch: Sequence[Frames]) -> np.ndarray:
        """Detections of all rows of `batch`, float32 [n, F, K, 6]. Raises RuntimeError when TensorRT-RTX fails."""
        rows = sum(map(len, batch))
        self._context.set_tensor_address(_INPUT, self._gather(batch))
        shaped = self._context.set_input_shape(_INPUT, (rows, *self._shapes.window))
        if not (shaped and self._context.execute_async_v3(self._stream.handle)):
            raise RuntimeError(f"TensorRT-RTX does not run a batch of {rows}: {self._log.last_error}")
        detections = self._host_detections[:rows]
        cuda.memcpy_dtoh_async(detections, self._device_detections, self._stream)
        self._stream.synchronize()
        return detections.copy()

    def _gather(self, batch: Sequence[Frames]) -> int:
        """The address on the device at which the rows lie one after the other."""
        first = batch[0]
        if len(batch) == 1 and isinstance(first, DeviceFrames) and first.address % _ALIGNMENT == 0:
            return first.address
        row_bytes, row = math.prod(self._shapes.window), 0
        for frames in batch:
            target, size = int(self._device_frames) + row * row_bytes, len(frames) * row_bytes
            if isinstance(frames, DeviceFrames):
                cuda.memcpy_dtod_async(target, frames.address, size, self._stream)
            else:
                staged = self._host_frames[row : row + len(frames)]
                staged[...] = frames
                cuda.memcpy_htod_async(target, staged, self._stream)
            row += len(frames)
        return int(self._device_frames)


def kernel_cache(content: bytes, architecture: tuple[int, int]) -> Path:
    """Where the kernels compiled from this engine are kept: in the user's cache directory, not in the repository."""
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    name = f"{hashlib.sha256(content).hexdigest()[:16]}-sm{architecture[0]}{architecture[1]}.kernels"
    return Path(folder, "wildgate", name)


def batches(sizes: Sequence[int], largest: int) -> Iterator[slice]:
    """Cuts requests of `sizes` rows into runs of at most `largest` rows, in order; none is cut in two."""
    start = rows = 0
    for place, size in enumerate(sizes):
        if place > start and rows + size > largest:
            yield slice(start, place)
            start, rows = place, 0
        rows += size
    if start < len(sizes):
        yield slice(start, len(sizes))


class TritonPythonModel:
    """Triton's hooks."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the engine, if it fits, and runs it once, before any caller has to wait."""
        self._shapes = Shapes.of(json.loads(args["model_config"]))
        folder = Path(args["model_repository"], args["model_version"])
        cuda.init()
        device = cuda.Device(int(args.get("model_instance_device_id", 0)))
        architecture = device.compute_capability()
        content = read_engine(folder, self._shapes, device.name(), architecture)
        self._gpu = device.retain_primary_context()
        with self._on_gpu():
            self._engine = Engine(content, self._shapes, kernel_cache(content, architecture))
            for rows in {1, self._shapes.max_batch}:
                self._engine.run([np.zeros((rows, *self._shapes.window), np.uint8)])
            self._engine.save_cache()

    def execute(self, requests: list) -> list:
        """One response for each request; as many of them as fit come from one run."""
        responses: list = [None] * len(requests)
        accepted: list[tuple[int, Frames]] = []
        for place, request in enumerate(requests):
            try:
                accepted.append((place, self._frames_of(request)))
            except FramesRefusedError as refusal:
                error = pb_utils.TritonError(f"wildlife_detector: {refusal}", pb_utils.TritonError.INVALID_ARG)
                responses[place] = pb_utils.InferenceResponse(error=error)
        for part in batches([len(frames) for _, frames in accepted], self._shapes.max_batch):
            for place, response in zip(*self._respond(accepted[part]), strict=True):
                responses[place] = response
        return responses

    def finalize(self) -> None:
        """Keeps the kernels compiled meanwhile, and gives the GPU's memory back."""
        if hasattr(self, "_engine"):
            with self._on_gpu():
                self._engine.save_cache()
                del self._engine

    def _respond(self, batch: list[tuple[int, Frames]]) -> tuple[list[int], list]:
        places = [place for place, _ in batch]
        try:
            with self._on_gpu():
                detections = self._engine.run([frames for _, frames in batch])
            ends = np.cumsum([len(frames) for _, frames in batch])
            parts = np.split(detections, ends[:-1])
            return places, [pb_utils.InferenceResponse([pb_utils.Tensor(_OUTPUT, part)]) for part in parts]
        except Exception as surprise:
            pb_utils.Logger.log_error(f"wildlife_detector: {traceback.format_exc()}")
            message = f"wildlife_detector failed: {type(surprise).__name__}"
            error = pb_utils.TritonError(message, pb_utils.TritonError.INTERNAL)
            return places, [pb_utils.InferenceResponse(error=error) for _ in batch]

    def _frames_of(self, request: object) -> Frames:
        tensor = pb_utils.get_input_tensor_by_name(request, _INPUT)
        frames = tensor.as_numpy() if tensor.is_cpu() else DeviceFrames.of(tensor.to_dlpack())
        if isinstance(frames, np.ndarray) and frames.dtype != np.uint8:
            raise FramesRefusedError(f"{_INPUT} is {frames.dtype}, not uint8")
        if frames.shape[1:] != self._shapes.window or not 0 < len(frames) <= self._shapes.max_batch:
            wanted = ",".join(map(str, self._shapes.window))
            raise FramesRefusedError(f"{_INPUT} is {list(frames.shape)}, not [1 to {self._shapes.max_batch},{wanted}]")
        return frames

    @contextlib.contextmanager
    def _on_gpu(self) -> Iterator[None]:
        """Makes the primary context current, which TensorRT's CUDA runtime works in as well."""
        self._gpu.push()
        try:
            yield
        finally:
            self._gpu.pop()
