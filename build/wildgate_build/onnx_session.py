"""ONNX Runtime on the CPU: the only module that opens sessions of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import ModelProto

from wildgate_build.errors import CannotRunError

__all__ = ["Array", "open_session", "run"]

Array = npt.NDArray[np.generic]

_FATAL = 4  # what goes wrong comes as an exception as well


def open_session(model: Path | ModelProto, threads: int = 0) -> onnxruntime.InferenceSession:
    """A session of `model`, a file or a graph; `threads` 0 takes all cores. Raises CannotRunError."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    # Threads that wait by spinning take the cores from whatever else runs on the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        content = model if isinstance(model, Path) else model.SerializeToString()
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no base of their own; protobuf's are for more than 2 GiB
        name = f"{model}: " if isinstance(model, Path) else ""
        raise CannotRunError(f"{name}ONNX Runtime cannot run it: {_brief(error)}") from error


def run(model: ModelProto, *batches: Mapping[str, Array]) -> list[dict[str, Array]]:
    """Runs `model` on each of `batches`; the outputs by name. Raises CannotRunError."""
    session = open_session(model)
    names: list[Any] = [output.name for output in session.get_outputs()]
    try:
        return [dict(zip(names, session.run(names, dict(batch)), strict=True)) for batch in batches]
    except Exception as error:
        raise CannotRunError(f"ONNX Runtime cannot run it: {_brief(error)}") from error


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
