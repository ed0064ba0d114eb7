"""Writing the result: whole or not at all."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.message import EncodeError
from onnx import ModelProto

from wildgate_build.output_files import OutputError, write_files
from wildgate_build.standard_file import StandardFile

__all__ = ["write_standard"]


def write_standard(model: ModelProto, target: Path) -> StandardFile:
    """Writes `model`, which was checked, to `target` and reads it back as a standard file.

    Raises OutputError when it cannot be written (a full disk, a missing right, more than the 2 GB of a protobuf
    message); `target` is then as it was.
    """
    try:
        content = model.SerializeToString()
    except (EncodeError, ValueError) as error:
        raise OutputError(f"{target}: cannot be written: {error}") from error
    write_files({target: content})
    return StandardFile.read(target)
