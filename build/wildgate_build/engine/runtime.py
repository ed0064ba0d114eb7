"""Running an engine on frames, on the GPU at hand: for checks and measurements, not for serving.

Has not run on a GPU yet; what needs none is tested with a stand-in at the seams (`TensorRt`, `Cuda`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from wildgate_build.engine.cuda import Cuda
from wildgate_build.engine.tensorrt_api import TensorRt, load_tensorrt
from wildgate_build.errors import EngineError
from wildgate_build.standard_file import INPUT, OUTPUT
from wildgate_server.repository.engine_key import RUNTIME_NAMES, EngineKey, EngineKeyError, engine_digest
from wildgate_server.repository.machine import Machine, Target, probe_machine

__all__ = ["EngineRunner"]

_CHANNELS: Final = 3
_COLUMNS: Final = 6


class EngineRunner:
    """An engine, loaded: frames uint8 [n, F, S, S, 3] -> detections float32 [n, F, K, 6].

    A context manager; device memory, stream and engine live inside it, and one thread uses it. More rows than the
    engine's largest batch go in several. Entry raises EngineError when the key is missing or does not fit this machine,
    TensorRT, pycuda or a GPU is missing, or the engine cannot be loaded.
    """

    def __init__(
        self,
        engine: Path,
        *,
        machine: Machine | None = None,
        tensorrt: Callable[[Target], TensorRt] = load_tensorrt,
        cuda: Callable[[], Cuda] = Cuda,
    ) -> None:
        self._path = engine
        self._machine = machine
        self._load_tensorrt = tensorrt
        self._open_cuda = cuda
        self._stack = ExitStack()
        self._owners: Any = None  # Must outlive the context.
        self._context: Any = None

    @property
    def key(self) -> EngineKey:
        """The engine's key. Raises EngineError when there is none that can be read."""
        try:
            return EngineKey.read(self._path)
        except EngineKeyError as error:
            raise EngineError(str(error)) from error

    def __enter__(self) -> Self:
        self._key = self.key
        serialised = self._checked(self._key)
        self._tensorrt = self._load_tensorrt(self._key.target)
        with self._stack:
            self._cuda = self._stack.enter_context(self._open_cuda())
            self._load(serialised)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context = self._owners = None  # TensorRT's objects go before the CUDA context does.
        self._stack.close()

    def __call__(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Detections of `frames`. Raises EngineError for frames of another shape or type, or when it fails."""
        if frames.dtype != np.uint8 or frames.ndim != 5 or frames.shape[1:] != self._window:
            sizes = ",".join(map(str, self._window))
            raise EngineError(f"frames are {frames.dtype} {list(frames.shape)}, {self._path} takes uint8 [n,{sizes}]")
        largest = self._key.max_batch
        batches = [self._detect(frames[start : start + largest]) for start in range(0, len(frames), largest)]
        return np.concatenate([np.empty((0, *self._detections.shape[1:]), np.float32), *batches])

    def _checked(self, key: EngineKey) -> bytes:
        """The engine's bytes, when they are the key's and fit this machine."""
        if different := "; ".join(key.differences(self._machine or probe_machine())):
            raise EngineError(f"{self._path} does not fit: {different}")
        try:
            serialised = self._path.read_bytes()
        except OSError as error:
            raise EngineError(f"{self._path}: cannot be read: {error}") from error
        if engine_digest(serialised) != key.engine_digest:
            raise EngineError(f"{self._path}: is not the engine that its key speaks of; build it again")
        return serialised

    def _load(self, serialised: bytes) -> None:
        """Makes the execution context, and buffers for the largest batch."""
        key, cuda = self._key, self._cuda
        self._window = (key.frames, key.side, key.side, _CHANNELS)
        runtime = self._tensorrt.api.Runtime(self._tensorrt.logger)
        engine = runtime.deserialize_cuda_engine(serialised)
        if engine is None:
            raise self._unusable("cannot be loaded")
        self._owners = (runtime, engine)
        self._context = engine.create_execution_context()
        if self._context is None:
            raise self._unusable("has no room to run")
        self._frames: npt.NDArray[np.uint8] = cuda.pinned((key.max_batch, *self._window), np.uint8)
        self._detections: npt.NDArray[np.float32] = cuda.pinned(
            (key.max_batch, key.frames, key.detections, _COLUMNS), np.float32
        )
        self._frames_at: int = cuda.allocate(self._frames.nbytes)
        self._detections_at: int = cuda.allocate(self._detections.nbytes)
        self._context.set_tensor_address(INPUT, self._frames_at)
        self._context.set_tensor_address(OUTPUT, self._detections_at)

    def _detect(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        rows = len(frames)
        self._frames[:rows] = frames
        self._cuda.copy_in(self._frames_at, self._frames[:rows])
        if not self._context.set_input_shape(INPUT, (rows, *self._window)):
            raise self._unusable(f"does not take a batch of {rows}")
        if not self._context.execute_async_v3(self._cuda.stream):
            raise self._unusable("failed")
        detections: npt.NDArray[np.float32] = self._detections[:rows]
        self._cuda.copy_out(detections, self._detections_at)
        self._cuda.wait()
        return detections.copy()

    def _unusable(self, what: str) -> EngineError:
        runtime = f"{RUNTIME_NAMES[self._key.target]} {self._tensorrt.version}"
        return EngineError(f"{self._path}: {what} with {runtime}: {self._tensorrt.complaints()}")
