"""Running graphs in ONNX Runtime: the only file of the importer that knows it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime
from google.protobuf.message import EncodeError
from numpy.typing import NDArray
from onnx import ModelProto
from onnxruntime.capi import onnxruntime_pybind11_state

from wildgate_build.importer.errors import RunError

__all__ = ["Array", "run"]

Array = NDArray[np.generic]

_QUIET = 4  # only fatal messages: what goes wrong comes as an exception as well
_ERRORS: tuple[type[Exception], ...] = (
    EncodeError,  # protobuf: over 2 GiB
    ValueError,  # protobuf again, or an input of another type
    *(
        kind
        for kind in vars(onnxruntime_pybind11_state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
)


def run(model: ModelProto, *batches: Mapping[str, Array]) -> list[dict[str, Array]]:
    """Loads `model` once, runs it on each of `batches` and returns the outputs by name.

    Raises RunError with ONNX Runtime's message when the model cannot be loaded or run.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _QUIET
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a run or two: leave the cores to others
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return [dict(zip(names, session.run(names, dict(batch)), strict=True)) for batch in batches]
    except _ERRORS as error:
        raise RunError(f"ONNX Runtime: {_brief(error)}") from error


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
