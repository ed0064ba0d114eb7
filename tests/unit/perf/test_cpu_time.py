"""Processor time, of processes that are started here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import pytest

from wildgate_perf.cpu_time import kind_of, marked_processes, read_cpu_times

BUSY = "import sys, time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\nsys.stdin.read()"


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[str]]:
    """A process that used 0.3 s and more, and now waits."""
    command = [sys.executable, "-c", BUSY]
    environment = {**os.environ, "CPU_TIME_MARK": str(os.getpid())}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout.readline() == "done\n"
        yield process
        process.stdin.close()


def test_a_process_has_used_what_it_worked(busy: subprocess.Popen[str]) -> None:
    [marked] = marked_processes("CPU_TIME_MARK", str(os.getpid()))
    assert marked.pid == busy.pid
    assert 0.25 <= read_cpu_times([marked]).by_kind["other"] < 5


def test_those_of_one_kind_count_together_and_those_that_are_gone_not_at_all(busy: subprocess.Popen[str]) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        gone = psutil.Process(ended.pid)
    one, both = ([psutil.Process(busy.pid)], [psutil.Process(busy.pid), psutil.Process(), gone])
    times = read_cpu_times(both, kind=lambda process: "same").by_kind
    assert times.keys() == {"same"}
    assert times["same"] > read_cpu_times(one).total_s


@dataclass
class Commanded:
    command: str

    def cmdline(self) -> list[str]:
        return self.command.split(" ")


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("python -m wildgate_server --listen 127.0.0.1:0", "gateway"),
        ("/venv/bin/python /venv/bin/wildgate serve", "gateway"),
        ("python -I -S triton_guard.py wildgate-1 /tmp/x /opt/tritonserver/bin/tritonserver --id=x", "triton guard"),
        ("/opt/tritonserver/bin/tritonserver --id=wildgate-1", "tritonserver"),
        ("x/triton_python_backend_stub /tmp/m/clip_decoder/1/model.py 1", "decoder stubs"),
        ("x/triton_python_backend_stub /tmp/m/clip_decoder_software/1/model.py 1", "decoder stubs"),
        ("x/triton_python_backend_stub /tmp/m/wildlife_detector/1/model.py 1", "detector stubs"),
        ("x/triton_python_backend_stub /tmp/m/frame_fingerprint/1/model.py 1", "fingerprint stubs"),
        ("python -c from wildgate_server.sampling.worker import serve; serve(5)", "sampling workers"),
        ("python -c from multiprocessing.resource_tracker import main;main(7)", "resource tracker"),
        ("sleep 1", "other"),
    ],
)
def test_kinds_are_told_by_the_command(command: str, kind: str) -> None:
    assert kind_of(Commanded(command)) == kind
