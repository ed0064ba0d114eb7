"""What is written: a row for each video, with the fields of the client's `Verdict`, or with why there is none.

The columns are those types themselves, so that a field added there is a column here: text, numbers, lists and structs.
Pictures are left out.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

from wildgate_client import ScoringError, Verdict

__all__ = ["FAILURES", "SCORED_AT", "TABLE", "VERDICTS", "failure_row", "row_schema", "verdict_row"]

TABLE: Final = "table"
"""The column that tells the two tables apart; they are folders of that name, which Hive and Spark know how to read."""
SCORED_AT: Final = "scored_at"
"""When the answer came."""
VERDICTS: Final = "verdicts"
FAILURES: Final = "failures"

_PICTURES: Final = frozenset({"evidence", "jpeg", "original_jpeg"})
_FAILURE: Final = pa.struct(
    [("code", pa.string()), ("reason", pa.string()), ("message", pa.string()), ("retryable", pa.bool_())]
)
_PLAIN: Final[dict[type, pa.DataType]] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    bytes: pa.binary(),
}


def row_schema(keys: Sequence[str]) -> pa.Schema:
    """The columns, beginning with those of the manifest."""
    text = [(name, pa.string()) for name in (*keys, TABLE)]
    return pa.schema([*text, (SCORED_AT, pa.timestamp("ms", "UTC")), ("failure", _FAILURE), *_fields(Verdict)])


def verdict_row(verdict: Verdict) -> dict[str, Any]:
    """The verdict's columns."""
    return {TABLE: VERDICTS, SCORED_AT: datetime.now(UTC), **_values(verdict)}


def failure_row(error: ScoringError) -> dict[str, Any]:
    """The columns of a video without a verdict."""
    code = error.code.name if error.code else ""
    failure = {"code": code, "reason": error.reason, "message": error.message, "retryable": error.retryable}
    return {TABLE: FAILURES, SCORED_AT: datetime.now(UTC), "failure": failure}


def _fields(kind: type) -> list[tuple[str, pa.DataType]]:
    hints = typing.get_type_hints(kind)
    return [(name, _column(hints[name])) for name in _names(kind)]


def _column(hint: Any) -> pa.DataType:
    arguments = typing.get_args(hint)
    if isinstance(hint, types.UnionType):  # X | None: any column may be null
        return _column(arguments[0])
    if typing.get_origin(hint) is tuple:
        return pa.list_(_column(arguments[0]))
    if dataclasses.is_dataclass(hint):
        return pa.struct(_fields(typing.cast("type", hint)))
    return pa.string() if issubclass(hint, enum.Enum) else _PLAIN[hint]


def _names(kind: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(kind) if field.name not in _PICTURES]


def _values(of: Any) -> Any:
    if dataclasses.is_dataclass(of):
        return {name: _values(getattr(of, name)) for name in _names(of)}
    if isinstance(of, tuple):
        return [_values(each) for each in of]
    return of.value if isinstance(of, enum.Enum) else of
