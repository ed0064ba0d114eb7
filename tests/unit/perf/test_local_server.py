from __future__ import annotations

import os
import select
import sys
from pathlib import Path

import pytest

from wildgate_perf.local_server import LocalServer, LocalServerOptions, ServerStartFailed

PREAMBLE = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(os.environ.get("STATUS", "0"))))
print("loading", flush=True)
"""
READY = 'print("wildgate is ready on 127.0.0.1:4321", flush=True)\n'
FOR_EVER = "while True: time.sleep(60)\n"
CHILD = "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"


def options(tmp_path: Path, program: str, **changes: object) -> LocalServerOptions:
    return LocalServerOptions(
        log_path=tmp_path / "logs" / "server.log",
        command=(sys.executable, "-c", PREAMBLE + program),
        **changes,  # type: ignore[arg-type]
    )


def test_ready_then_stopped_cleanly(tmp_path: Path):
    with LocalServer(options(tmp_path, READY + FOR_EVER)) as server:
        assert server.target == "127.0.0.1:4321"
    assert server.stop_report is not None
    assert server.stop_report.clean
    assert str(server.stop_report) == "server stopped cleanly"
    assert "loading" in (tmp_path / "logs" / "server.log").read_text()


def test_a_server_that_ends_before_it_is_ready_names_its_log_and_quotes_it(tmp_path: Path):
    server = LocalServer(options(tmp_path, "sys.exit('no model repository')"))
    with pytest.raises(ServerStartFailed) as raised, server:
        pytest.fail("was ready")
    assert "ended before it was ready" in str(raised.value)
    assert str(tmp_path / "logs" / "server.log") in str(raised.value)
    assert "no model repository" in str(raised.value)


def test_a_server_that_is_never_ready_is_stopped(tmp_path: Path):
    server = LocalServer(options(tmp_path, FOR_EVER, ready_timeout_s=0.5))
    with pytest.raises(ServerStartFailed, match=r"not ready in time \(0\.5 s\)"), server:
        pytest.fail("was ready")
    assert server.stop_report is not None
    assert not server.stop_report.killed


def test_a_server_that_ignores_sigterm_is_killed(tmp_path: Path):
    program = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + READY + FOR_EVER
    with LocalServer(options(tmp_path, program, stop_timeout_s=0.3)) as server:
        pass
    assert server.stop_report is not None
    assert server.stop_report.killed
    assert "did not stop in time" in str(server.stop_report)


def test_processes_left_behind_are_found_named_and_killed(tmp_path: Path):
    program = CHILD + "print('child', child.pid, flush=True)\n" + READY + FOR_EVER
    given = options(tmp_path, program, orphan_grace_s=0.5)
    with LocalServer(given) as server:
        pass
    assert server.stop_report is not None
    (orphan,) = server.stop_report.orphans
    assert f"child {orphan}" in given.log_path.read_text()
    assert not server.stop_report.clean
    assert _ends(orphan)


def test_the_server_is_stopped_when_its_user_fails(tmp_path: Path):
    server = LocalServer(options(tmp_path, READY + FOR_EVER))
    with pytest.raises(RuntimeError, match="the user's"), server:
        raise RuntimeError("the user's")
    assert server.stop_report is not None
    assert server.stop_report.clean


def _ends(pid: int) -> bool:
    """Whether the process is gone, or goes now."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ended, _, _ = select.select([handle], [], [], 10.0)
    finally:
        os.close(handle)
    return bool(ended)
