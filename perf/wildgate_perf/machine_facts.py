"""What figures depend on and anybody may know: hardware, kernel, versions. No host name, no path."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from wildgate_perf.server_parts import available_cores

PACKAGES = (
    *("av", "grpcio", "numpy", "nvidia-pytriton", "obstore", "onnxruntime", "protobuf", "tritonclient", "wildgate"),
)
"""The distributions whose versions matter to every measurement."""

_FLAGS = ("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8")


def machine_facts(
    packages: tuple[str, ...] = PACKAGES, *, cpuinfo: Path = Path("/proc/cpuinfo")
) -> dict[str, str | int | float]:
    """Processor, cores this process may use, memory in GiB, load (1 minute) before measuring, kernel, versions.

    A distribution of `packages` that is not installed has no entry; others are called `version_<name>`.
    """
    lines = cpuinfo.read_text(encoding="utf-8").split("\n\n", 1)[0].splitlines() if cpuinfo.exists() else []
    processor = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = processor.get("flags", processor.get("Features", "")).split()
    facts: dict[str, str | int | float] = {
        "cpu": processor.get("model name") or platform.processor() or platform.machine(),
        "cpu_flags": " ".join(flag for flag in _FLAGS if flag in flags),
        "cores": available_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_1min": round(os.getloadavg()[0], 2),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
    for package in packages:
        try:
            facts[f"version_{package}"] = version(package)
        except PackageNotFoundError:
            continue
    return facts


def same_machine(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two `machine_facts` tell of the same processor, cores and versions; kernel and load may differ.

    Facts without a processor are those of no machine.
    """
    compared = {"cpu", "cpu_flags", "cores", "python"}
    compared |= {name for facts in (one, other) for name in facts if name.startswith("version_")}
    return bool(one.get("cpu")) and all(one.get(name) == other.get(name) for name in compared)
