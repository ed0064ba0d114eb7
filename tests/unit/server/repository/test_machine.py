"""What is said of the machine, with a CUDA driver library that answers as told."""

from __future__ import annotations

import ctypes
import importlib.metadata
from pathlib import Path

import pytest

from wildgate_server.repository.machine import Gpu, probe_machine

PROPRIETARY = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.82.07  Wed Aug 27 17:52:14 UTC 2025"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.82.07  Release Build  (builder)  Wed Aug 27 2025"
COMPILER = "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)"
NOWHERE = Path("/nowhere/version")
NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE


class CudaLibrary:
    """One GPU of a compute capability, or a driver that sees none."""

    def __init__(self, name: str, major: int, minor: int, status: int = 0) -> None:
        self._name, self._attributes, self._status = name, {75: major, 76: minor}, status

    def cuInit(self, flags: int) -> int:
        assert flags == 0
        return self._status

    def cuDeviceGet(self, device: ctypes.c_int, ordinal: int) -> int:
        device._obj.value = 40 + ordinal
        return 0

    def cuDeviceGetName(self, name: ctypes.Array, size: int, device: ctypes.c_int) -> int:
        assert device.value == 40
        assert size == len(name)
        name.value = self._name.encode()
        return 0

    def cuDeviceGetAttribute(self, value: ctypes.c_int, attribute: int, device: ctypes.c_int) -> int:
        assert device.value == 40
        value._obj.value = self._attributes[attribute]
        return 0


def no_library(name: str) -> CudaLibrary:
    raise OSError(f"{name}: cannot open shared object file")


def test_the_gpu_is_named_with_its_architecture() -> None:
    asked = []

    def load(name: str) -> CudaLibrary:
        asked.append(name)
        return CudaLibrary("NVIDIA GeForce RTX 5090", 12, 0)

    assert probe_machine(load_library=load, kernel_driver=NOWHERE).gpu == Gpu("NVIDIA GeForce RTX 5090", "12.0")
    assert asked == ["libcuda.so.1"]


def test_a_machine_without_a_driver_has_no_gpu() -> None:
    machine = probe_machine(load_library=no_library, kernel_driver=NOWHERE)
    assert (machine.gpu, machine.driver) == (None, None)


def test_a_driver_that_sees_no_gpu() -> None:
    library = CudaLibrary("unused", 9, 0, status=NO_DEVICE)
    assert probe_machine(load_library=lambda _: library, kernel_driver=NOWHERE).gpu is None


@pytest.mark.parametrize("module", [PROPRIETARY, OPEN])
def test_the_driver_version_of_both_kinds_of_kernel_module(tmp_path: Path, module: str) -> None:
    file = tmp_path / "version"
    file.write_text(f"{module}\n{COMPILER}\n")
    assert probe_machine(load_library=no_library, kernel_driver=file).driver == "580.82.07"


def test_an_installed_runtime_is_named_with_its_version() -> None:
    try:
        version = importlib.metadata.version("tensorrt-rtx-cu13")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("tensorrt-rtx-cu13 is not installed")
    assert probe_machine(load_library=no_library, kernel_driver=NOWHERE).tensorrt["rtx"] == version
