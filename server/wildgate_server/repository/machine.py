"""What this machine offers to a compiled engine: its GPU, its driver, its TensorRT.

The GPU is asked for through the CUDA driver's own library, which is needed to run an engine anyway, and which
goes by CUDA_VISIBLE_DEVICES. No CUDA context is made, no TensorRT is loaded. Without a GPU the answer is None.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = ["Gpu", "Machine", "Target", "probe_machine"]

Target = Literal["tensorrt", "rtx"]

_CUDA_DRIVER = "libcuda.so.1"
_KERNEL_DRIVER = Path("/proc/driver/nvidia/version")
_KERNEL_DRIVER_VERSION = re.compile(r"Kernel Module\s+(?:for \S+\s+)?([\d.]+)")
# CUdevice_attribute of cuda.h.
_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR = 75, 76
_NAME_BYTES = 128
# Each runtime comes under one name for every CUDA, and under one that pins the CUDA.
_DISTRIBUTIONS: Mapping[Target, tuple[str, ...]] = {
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    "rtx": ("tensorrt-rtx-cu13", "tensorrt-rtx", "tensorrt-rtx-cu12"),
}


@dataclass(frozen=True)
class Gpu:
    """A GPU by name, and its architecture as compute capability, such as `8.9`."""

    name: str
    architecture: str


@dataclass(frozen=True)
class Machine:
    """The first GPU that CUDA shows, the kernel driver's version, and the version of each TensorRT installed."""

    gpu: Gpu | None
    driver: str | None
    tensorrt: Mapping[Target, str] = field(default_factory=dict)


def probe_machine(*, load_library: Callable[[str], Any] = ctypes.CDLL, kernel_driver: Path = _KERNEL_DRIVER) -> Machine:
    """Asks this machine. `load_library` opens the CUDA driver's library, raising OSError where there is none."""
    versions = {target: version for target in _DISTRIBUTIONS if (version := _installed(target))}
    return Machine(_first_gpu(load_library), _driver_version(kernel_driver), versions)


def _first_gpu(load_library: Callable[[str], Any]) -> Gpu | None:
    try:
        cuda = load_library(_CUDA_DRIVER)
    except OSError:
        return None
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(_NAME_BYTES)
    # Each returns 0 for success; on a machine whose driver sees no GPU, the first one does not.
    calls: tuple[Callable[[], int], ...] = (
        lambda: cuda.cuInit(0),
        lambda: cuda.cuDeviceGet(ctypes.byref(device), 0),
        lambda: cuda.cuDeviceGetName(name, _NAME_BYTES, device),
        lambda: cuda.cuDeviceGetAttribute(ctypes.byref(major), _COMPUTE_CAPABILITY_MAJOR, device),
        lambda: cuda.cuDeviceGetAttribute(ctypes.byref(minor), _COMPUTE_CAPABILITY_MINOR, device),
    )
    if any(call() for call in calls):
        return None
    return Gpu(name.value.decode(), f"{major.value}.{minor.value}")


def _driver_version(kernel_driver: Path) -> str | None:
    try:
        found = _KERNEL_DRIVER_VERSION.search(kernel_driver.read_text(encoding="utf-8"))
    except OSError:
        return None
    return found[1] if found else None


def _installed(target: Target) -> str | None:
    for name in _DISTRIBUTIONS[target]:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
