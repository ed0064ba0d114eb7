"""YAML files that people write: read, validated, and refused in words that name file, field and value."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

__all__ = ["StrictSection", "faults", "read_document"]

Document = TypeVar("Document", bound=BaseModel)


class StrictSection(BaseModel):
    """A part of a file: frozen, with no other fields, and with values of just the types that are asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def read_document(file: Path, kind: type[Document], error: type[Exception]) -> Document:
    """The content of `file` as a `kind`.

    Raises `error`, one line for each fault, when the file cannot be read, is not YAML or breaks a rule.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as cause:
        raise error(f"{file}: cannot be read: {getattr(cause, 'strerror', None) or cause}") from cause
    except yaml.YAMLError as cause:
        raise error(f"{file}: is not YAML: {' '.join(str(cause).split())}") from cause
    try:
        return kind.model_validate(content)
    except ValidationError as cause:
        raise error("\n".join(f"{file}: {fault}" for fault in faults(cause))) from cause


def faults(error: ValidationError) -> list[str]:
    """One line for each fault, naming field and value."""
    lines = []
    for fault in error.errors(include_url=False):
        field = ".".join(str(part) for part in fault["loc"]) or "the document"
        # A whole section may hold secrets beside what is at fault.
        untold = fault["type"] == "missing" or isinstance(fault["input"], dict | BaseModel)
        value = "" if untold else f" (is {fault['input']!r})"
        lines.append(f"{field}: {fault['msg'].removeprefix('Value error, ')}{value}")
    return lines
