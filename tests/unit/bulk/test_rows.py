from __future__ import annotations

import grpc
import pytest

pa = pytest.importorskip("pyarrow", reason="needs wildgate[bulk]")
from fake_gateway import a_verdict  # noqa: E402

from wildgate_bulk.rows import failure_row, row_schema, verdict_row  # noqa: E402
from wildgate_client import InvalidVideo  # noqa: E402
from wildgate_client._wire import verdict_from  # noqa: E402


def test_a_verdict_comes_back_from_its_row_but_for_pictures() -> None:
    verdict = verdict_from(a_verdict())
    [row] = pa.Table.from_pylist([{"uri": "file:///x", **verdict_row(verdict)}], schema=row_schema(["uri"])).to_pylist()
    assert (row["table"], row["failure"], row["uri"]) == ("verdicts", None, "file:///x")
    assert "evidence" not in row
    assert row["action"] == verdict.action
    assert row["labels"][0]["spans"] == [{"start_s": s.start_s, "end_s": s.end_s} for s in verdict.labels[0].spans]
    assert row["detections"][0]["box"]["x2"] == verdict.detections[0].box.x2


def test_a_failure_says_why() -> None:
    error = InvalidVideo("no container", code=grpc.StatusCode.INVALID_ARGUMENT, reason="NOT_A_VIDEO")
    [row] = pa.Table.from_pylist([failure_row(error)], schema=row_schema(["uri"])).to_pylist()
    assert (row["table"], row["action"]) == ("failures", None)
    assert row["failure"] == {
        "code": "INVALID_ARGUMENT",
        "reason": "NOT_A_VIDEO",
        "message": "no container",
        "retryable": False,
    }
