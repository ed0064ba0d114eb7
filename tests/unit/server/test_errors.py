"""The error table."""

from __future__ import annotations

import re

import grpc
import pytest

from wildgate_server import errors
from wildgate_server.errors import InternalError, Status, VideoTooLarge, WildgateError

KINDS = [kind for name in errors.__all__ if issubclass(kind := getattr(errors, name), WildgateError)]


def drawn() -> dict[str, tuple[str, str]]:
    """Name, status and reason of each error in the drawing at the module's top; a status is that of the branch."""
    table: dict[str, tuple[str, str]] = {}
    status = ""
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r" (│?)\s*[├└]─ (\w+)\s*([A-Z_]*)\s*([A-Z_]*)$", line):
            inner, name, first, second = found.groups()
            status, reason = (status, first) if inner else (first, second)
            table[name] = (status, reason)
    return table


def test_the_drawing_is_true() -> None:
    told = {
        kind.__name__: (kind.status.name, getattr(kind, "reason", "")) for kind in KINDS if kind is not WildgateError
    }
    assert drawn() == told


@pytest.mark.parametrize("status", Status)
def test_a_status_is_grpc_s_own(status: Status) -> None:
    assert status == grpc.StatusCode[status.name].value[0]


def test_an_internal_error_says_nothing_of_the_cause() -> None:
    assert str(InternalError()) == InternalError().message == "internal error; the server's log has the details"


def test_too_large_names_limit_and_value() -> None:
    error = VideoTooLarge.past("max_seconds", 600.0, 601.5)
    assert error.message == "max_seconds is 600, the video has 601.5"
    assert error.field == "source"
