"""TensorRT's timing cache: what the builder measured on this GPU, kept so that the next build need not measure it.

TensorRT-RTX has none: it compiles kernels when the engine runs, and keeps those in a runtime cache where it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wildgate_build.durable_files import write_files
from wildgate_build.engine.tensorrt_api import TensorRt
from wildgate_build.errors import EngineError

__all__ = ["attach_timing_cache", "save_timing_cache"]


def attach_timing_cache(file: Path, config: Any, tensorrt: TensorRt) -> None:
    """Gives the builder the cache in `file`, or an empty one if there is no such file.

    Raises EngineError when it cannot be read or was made on another GPU.
    """
    if tensorrt.target == "rtx":
        raise EngineError(
            f"--timing-cache {file}: TensorRT-RTX times nothing when it builds; it keeps a runtime cache where it runs"
        )
    try:
        content = file.read_bytes() if file.exists() else b""
    except OSError as error:
        raise EngineError(f"--timing-cache {file}: cannot be read: {error}") from error
    cache = config.create_timing_cache(content)
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        raise EngineError(f"--timing-cache {file}: cannot be used on this GPU: {tensorrt.complaints()}")


def save_timing_cache(file: Path, config: Any) -> None:
    """Saves the builder's cache to `file`. Raises OutputError."""
    write_files({file: bytes(config.get_timing_cache().serialize())})
