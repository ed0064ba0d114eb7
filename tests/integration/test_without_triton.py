"""`wildgate serve` while its Triton is away: what it says, answers and reads again."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError

import pytest
from gateway_under_test import PATIENCE_S, free_address

NOBODY = "127.0.0.1:1"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "wildgate.yaml"
    file.write_text("log_level: info\nlog_format: json\nsampling: {workers: 1}\n")
    return file


@contextmanager
def served(config: Path, repository: Path, metrics: str) -> Iterator[tuple[subprocess.Popen[str], queue.Queue[dict]]]:
    """A gateway that asks nobody, and the lines of its log."""
    options = ("--triton", NOBODY, "--listen", "127.0.0.1:0", "--metrics", metrics, "--endpoint.drain-pause-s", "0")
    process = subprocess.Popen(
        [sys.executable, "-m", "wildgate_server", "--model-repository", str(repository), *options],
        env={**os.environ, "WILDGATE_CONFIG": str(config)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: queue.Queue[dict] = queue.Queue()
    assert process.stderr
    reading = threading.Thread(target=lambda log: [lines.put(json.loads(line)) for line in log], args=(process.stderr,))
    reading.start()
    with process:
        try:
            yield process, lines
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0
            reading.join()


def status(address: str, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=PATIENCE_S) as answer:
            return answer.status
    except HTTPError as error:
        with error:
            return error.code


def next_event(lines: queue.Queue[dict], event: str) -> dict:
    while (line := lines.get(timeout=PATIENCE_S))["event"] != event:
        pass
    return line


def test_it_lives_but_is_not_ready_and_takes_another_level_for_its_log(config: Path, model_repository: Path) -> None:
    with served(config, model_repository, metrics := free_address()) as (process, lines):
        assert process.stdout
        assert "and waits for Triton" in process.stdout.readline()
        assert (status(metrics, "/healthz"), status(metrics, "/readyz")) == (200, 503)
        assert status(metrics, "/metrics/triton") == 404
        for text, told in (("log_level: debug", "debug"), ("log_level: loud", None), ("log_level: info", "info")):
            config.write_text(text)
            process.send_signal(signal.SIGHUP)
            event = next_event(lines, "log_level" if told else "settings_refused")
            assert event.get("level" if told is None else "least") == (told or "error")
