"""Processor time, of processes that are started here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wildgate_perf import cpu_time
from wildgate_perf.cpu_time import CpuTimes, descendants, kind_of, machine_cpu_s, process_cpu_s, read_cpu_times

BUSY = "import sys, time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\nsys.stdin.read()"


@pytest.fixture
def busy() -> subprocess.Popen[str]:
    """A process that used 0.3 s and more, and now waits."""
    with subprocess.Popen(
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "done\n"
        yield process
        process.stdin.close()


def test_a_process_has_used_what_it_worked(busy: subprocess.Popen[str]) -> None:
    assert 0.25 <= process_cpu_s(busy.pid) < 5
    assert busy.pid in descendants(os.getpid())
    assert descendants(busy.pid) == [busy.pid]


def test_who_is_gone_counts_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    with pytest.raises(ProcessLookupError, match=str(process.pid)):
        process_cpu_s(process.pid)
    assert read_cpu_times([process.pid]).total_s == 0


def test_processes_of_one_kind_count_together(busy: subprocess.Popen[str]) -> None:
    times = read_cpu_times([busy.pid, os.getpid()], kind=lambda pid: "same")
    assert times.by_kind == {"same": pytest.approx(process_cpu_s(busy.pid) + process_cpu_s(os.getpid()), abs=0.2)}


def test_differences_and_shares() -> None:
    before = CpuTimes({"gateway": 1.0, "gone": 2.0})
    after = CpuTimes({"gateway": 1.5, "new": 0.25})
    used = after.since(before)
    assert used.by_kind == {"gateway": 0.5, "new": 0.25}
    assert used.total_s == 0.75
    assert used.per(10) == {"gateway": 50.0, "new": 25.0}


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("python -m wildgate_client.cli serve --listen 127.0.0.1:0", "gateway"),
        ("/venv/bin/python /venv/bin/wildgate serve", "gateway"),
        ("python -I -S triton_guard.py wildgate-1 /tmp/x /opt/tritonserver/bin/tritonserver --id=x", "triton guard"),
        ("/opt/tritonserver/bin/tritonserver --id=wildgate-1", "tritonserver"),
        ("x/triton_python_backend_stub /tmp/m/clip_decoder/1/model.py 1", "decoder stubs"),
        ("x/triton_python_backend_stub /tmp/m/clip_decoder_software/1/model.py 1", "decoder stubs"),
        ("x/triton_python_backend_stub /tmp/m/wildlife_detector/1/model.py 1", "detector stubs"),
        ("python -c from wildgate_server.sampling.worker import serve; serve(5)", "sampling workers"),
        ("python -c from multiprocessing.resource_tracker import main;main(7)", "resource tracker"),
        ("sleep 1", "other"),
    ],
)
def test_kinds_are_told_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, kind: str
) -> None:
    (tmp_path / "77").mkdir()
    (tmp_path / "77" / "cmdline").write_bytes(command.replace(" ", "\0").encode())
    monkeypatch.setattr(cpu_time, "_PROC", tmp_path)
    assert kind_of(77) == kind
    assert kind_of(78) == "other"


def test_the_machine_was_busy_and_kept_waiting(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 200 300 9999 8888 10 20 50 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n")
    tick = 1 / os.sysconf("SC_CLK_TCK")
    assert machine_cpu_s(stat) == (pytest.approx(630 * tick), pytest.approx(50 * tick))
