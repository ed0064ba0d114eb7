"""GPU memory and a stream through pycuda; the only module that imports it.

pycuda works in the device's primary context, the one that TensorRT's CUDA runtime uses as well, so both see the same
memory. It is compiled when it is installed, which takes a CUDA toolkit: only the GPU extras name it. Has not run on a
GPU yet.
"""

from __future__ import annotations

import importlib
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from wildgate_build.errors import EngineError

__all__ = ["Cuda"]

Array = npt.NDArray[Any]


class Cuda:
    """The first GPU: device memory by address, pinned host memory, copies on one stream.

    A context manager; entry raises EngineError without pycuda or without a GPU.
    """

    def __init__(self) -> None:
        self._driver: Any = None
        self._context: Any = None
        self._stream: Any = None
        self._memory: list[Any] = []

    def __enter__(self) -> Self:
        try:
            self._driver = driver = importlib.import_module("pycuda.driver")
        except ImportError as error:
            raise EngineError(
                f"pycuda cannot be loaded ({error}); it takes an NVIDIA driver, and a CUDA toolkit to be installed"
            ) from error
        try:
            driver.init()
            self._context = driver.Device(0).retain_primary_context()
            self._context.push()
            self._stream = driver.Stream()
        except driver.Error as error:
            self.__exit__(None, None, None)
            raise EngineError(f"no GPU can be used: {error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for allocation in self._memory:
            allocation.free()
        self._memory.clear()
        self._stream = None
        if self._context is not None:
            self._context.pop()
            self._context = None  # The last reference gives the primary context back.

    @property
    def stream(self) -> int:
        """The stream's handle, for TensorRT."""
        return int(self._stream.handle)

    def allocate(self, size: int) -> int:
        """The address of `size` bytes of device memory, freed on exit."""
        allocation = self._driver.mem_alloc(size)
        self._memory.append(allocation)
        return int(allocation)

    def pinned(self, shape: tuple[int, ...], kind: type[np.generic]) -> Array:
        """A page-locked host array."""
        array: Array = self._driver.pagelocked_empty(shape, kind)
        return array

    def copy_in(self, address: int, source: Array) -> None:
        """Queues a copy of the pinned, contiguous `source` to the device."""
        self._driver.memcpy_htod_async(address, source, self._stream)

    def copy_out(self, target: Array, address: int) -> None:
        """Queues a copy from the device to the pinned, contiguous `target`."""
        self._driver.memcpy_dtoh_async(target, address, self._stream)

    def wait(self) -> None:
        """Returns when everything queued is done."""
        self._stream.synchronize()
