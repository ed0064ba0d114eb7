"""The error table, and errors that cross from a sampling worker."""

from __future__ import annotations

import pickle
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
    table = drawn()
    assert set(table) | {"WildgateError"} == {kind.__name__ for kind in KINDS}
    for kind in KINDS:
        if kind is not WildgateError:
            status, reason = table[kind.__name__]
            assert kind.status is Status[status]
            assert getattr(kind, "reason", "") == reason


@pytest.mark.parametrize("status", Status)
def test_a_status_is_grpc_s_own(status: Status) -> None:
    assert status.value == grpc.StatusCode[status.name].value


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not InternalError], ids=lambda kind: kind.__name__)
def test_an_error_survives_the_way_from_a_worker(kind: type[WildgateError]) -> None:
    error = kind("what", metadata={"limit": "max"}, field="source", retry_after_s=1.5)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (copy.message, copy.metadata, copy.field, copy.retry_after_s) == ("what", {"limit": "max"}, "source", 1.5)
    assert str(copy) == "what"


def test_an_internal_error_says_nothing_of_the_cause() -> None:
    copy = pickle.loads(pickle.dumps(InternalError()))
    assert type(copy) is InternalError
    assert str(copy) == "internal error; the server's log has the details"


def test_too_large_names_limit_and_value() -> None:
    error = VideoTooLarge.past("max_seconds", 600.0, 601.5)
    assert error.message == "max_seconds is 600, the video has 601.5"
    assert error.field == "source"
