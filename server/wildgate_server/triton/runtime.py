"""Finds the tritonserver that the `nvidia-pytriton` wheel carries, and what it needs to run.

The wheel holds the server, its libraries and one Python-backend stub for each Python version; nothing else of
the wheel is used. The stub embeds Python, so it wants the shared libpython of the running interpreter.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wildgate_server import allocator
from wildgate_server.box import environment
from wildgate_server.errors import StartError

__all__ = ["TritonRuntime", "TritonStartError", "find_libpython", "find_triton_runtime"]

_DISTRIBUTION = "nvidia-pytriton"
_STUB = "triton_python_backend_stub"
_VARIABLES_BEGIN = ("CUDA_", "NVIDIA_", "DALI_", "OMP_", "OPENBLAS_", "MKL_", "ORT_", "TRITON")


class TritonStartError(StartError):
    """Triton cannot be started; the message tells the operator what to do about it."""


@dataclass(frozen=True)
class TritonRuntime:
    """The pieces of a runnable tritonserver."""

    server: Path
    python_backend: Path
    stub: Path
    library_directories: tuple[Path, ...]

    def assemble_backends(self, directory: Path) -> None:
        """Fills `directory` as `--backend-directory`: the Python backend alone, with this Python's stub."""
        backend = directory / "python"
        backend.mkdir(parents=True)
        for part in (*self.python_backend.glob("*.so"), *self.python_backend.glob("*.py"), self.stub):
            (backend / part.name).symlink_to(part)

    def environment(self) -> dict[str, str]:
        """What a box gets of this process's environment, with the server's libraries and this Python's packages."""
        # The stub's Python ignores PYTHON* variables; like `python3` it finds its packages by what PATH has
        # first.
        executables = Path(sys.executable).parent
        return {
            **allocator.ENVIRONMENT,
            **environment(os.environ, *_VARIABLES_BEGIN),
            "PATH": _joined(executables, os.environ.get("PATH", os.defpath)),
            "LD_LIBRARY_PATH": _joined(*self.library_directories, os.environ.get("LD_LIBRARY_PATH", "")),
        }


def _joined(*paths: Path | str) -> str:
    return os.pathsep.join(str(path) for path in paths if str(path))


def find_triton_runtime() -> TritonRuntime:
    """The tritonserver of this environment.

    Raises TritonStartError naming what to install when the wheel, the stub for this Python or the shared
    libpython is missing.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    try:
        root = Path(str(importlib.metadata.distribution(_DISTRIBUTION).locate_file("")))
    except importlib.metadata.PackageNotFoundError as error:
        raise TritonStartError(
            f"no embedded Triton: {_DISTRIBUTION} is not installed; run `pip install wildgate`"
        ) from error
    triton = root / "pytriton" / "tritonserver"
    runtime = TritonRuntime(
        server=triton / "bin" / "tritonserver",
        python_backend=triton / "backends" / "python",
        stub=triton / "python_backend_stubs" / version / _STUB,
        library_directories=(root / "nvidia_pytriton.libs", find_libpython().parent),
    )
    if not runtime.stub.is_file():
        raise TritonStartError(f"no embedded Triton: {_DISTRIBUTION} has no stub for Python {version}")
    if not runtime.server.is_file():
        raise TritonStartError(f"no embedded Triton: {runtime.server} is missing; reinstall {_DISTRIBUTION}")
    return runtime


def find_libpython(directories: Sequence[Path] | None = None) -> Path:
    """The shared library of the running interpreter, by the name that the stub is linked against.

    Looks in `directories`, by default where this Python keeps its libraries. Raises TritonStartError naming the
    package to install.
    """
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    if directories is None:
        directories = _library_directories()
    for directory in directories:
        if (directory / name).is_file():
            return directory / name
    package = name.split(".so")[0]
    raise TritonStartError(
        f"no embedded Triton: {name} is missing, looked in {', '.join(map(str, directories))}; "
        f"run `apt-get install {package}` (or use a Python built with --enable-shared)"
    )


def _library_directories() -> list[Path]:
    prefixes = (sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LIBPL"), f"{sys.base_prefix}/lib")
    directories = [Path(str(prefix)) for prefix in prefixes if prefix]
    multiarch = sysconfig.get_config_var("MULTIARCH")
    return directories + [directory / str(multiarch) for directory in directories if multiarch]
