"""What gets into the log, and how much of it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import structlog

from wildgate_server.log import LineLimit, TracebackLimit, bounded

FLOOD = """
import logging, structlog
from wildgate_server.log import configure_log
configure_log("info")
uri = "http://host/" + "\\n\\r\\x1b[31m" + "a" * 8000
for number in range(50):
    try:
        raise ValueError(uri)
    except ValueError as error:
        structlog.get_logger().error("surprise", exc_info=error)
        structlog.get_logger().exception("failed", uri=uri)
        logging.getLogger("asyncio").error(f"number {number}: {uri}", exc_info=error)
logging.getLogger("asyncio").info("unimportant")
structlog.get_logger().info("readiness", serving=True)
"""


def test_a_flood_of_failures_is_short_lines_and_few_tracebacks() -> None:
    done = subprocess.run([sys.executable, "-c", FLOOD], capture_output=True, text=True, check=True)
    assert not done.stdout
    lines = done.stderr.split("\n")[:-1]
    assert "event=readiness serving=true" in lines.pop()
    assert len(lines) == 150
    assert all(line.isprintable() for line in lines)
    traced = [line for line in lines if "Traceback" in line]
    assert len(traced) == 15, "five of each of three kinds"
    assert max(map(len, set(lines) - set(traced))) < 1500
    assert max(map(len, traced)) < 25_000
    assert sum("ValueError" in line for line in lines) == 150


JSON_LINES = """
import structlog
from wildgate_server.log import configure_log, set_level
configure_log("warning", "json")
log = structlog.get_logger()
log.info("before")
set_level("debug")
with structlog.contextvars.bound_contextvars(request_id="r", trace_id="t"):
    log.debug("video_failed", video_id='a "b"\\n')
"""


def test_lines_are_json_and_the_level_can_be_changed_meanwhile() -> None:
    done = subprocess.run([sys.executable, "-c", JSON_LINES], capture_output=True, text=True, check=True)
    [line] = done.stderr.splitlines()
    told = json.loads(line)
    assert told.pop("timestamp")
    assert told == {
        "event": "video_failed",
        "level": "debug",
        "request_id": "r",
        "trace_id": "t",
        "video_id": 'a "b"\n',
    }


def failed(event: str) -> dict[str, object]:
    return {"event": event, "exc_info": ValueError("no")}


def test_tracebacks_are_kept_again_after_a_minute() -> None:
    now = 0.0
    limit = TracebackLimit(lambda: now)

    def kept(event: str) -> bool:
        return "exc_info" in limit(None, "error", failed(event))

    assert [kept("surprise") for _ in range(7)] == [True] * 5 + [False] * 2
    assert kept("another")
    now = 61.0
    assert kept("surprise")


def test_lines_beyond_a_rate_are_counted_in_the_next_one() -> None:
    now = 0.0
    limit = LineLimit(lambda: now)

    def left_out(event: str, **fields: object) -> object:
        try:
            return limit(None, "warning", {"event": event, **fields}).get("left_out", 0)
        except structlog.DropEvent:
            return "all"

    assert [left_out("crashed") for _ in range(130)] == [0] * 120 + ["all"] * 10
    assert [left_out(f"made up {number}", logger="grpc") for number in range(121)][-1] == "all"
    assert left_out("another") == 0
    now = 60.0
    assert [left_out("crashed") for _ in range(2)] == [10, 0]


def test_what_is_no_error_passes() -> None:
    limit = TracebackLimit()
    for event in ({"event": "ready"}, {"event": "ready", "exc_info": False}):
        for _ in range(10):
            assert limit(None, "info", dict(event)) == event


@pytest.mark.parametrize(("value", "logged"), [(1, 1), (0.5, 0.5), (None, None), (True, True), ("a\tb", "a?b")])
def test_short_values_stay_as_they_are(value: object, logged: object) -> None:
    assert bounded(None, "info", {"event": value}) == {"event": logged}


def test_what_cannot_be_seen_is_replaced() -> None:
    hidden = "\r\x1b[2K\x9b\x00\x7f\u202e\u2066\u200b\u2028\ufeff\ud800"
    told = bounded(None, "info", {"video_id": f"a{hidden}\nb é 中"})
    assert told == {"video_id": "a??[2K" + "?" * 9 + "\nb é 中"}


def test_of_a_long_value_both_ends_are_logged() -> None:
    told = bounded(None, "info", {"event": "begin" + "x" * 10_000 + "end"})["event"]
    assert told.startswith("begin")
    assert told.endswith("end")
    assert len(told) < 510
