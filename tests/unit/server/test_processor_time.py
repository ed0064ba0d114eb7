"""Whose processor time is told."""

from __future__ import annotations

import subprocess
import sys

from wildgate_server.processor_time import ProcessorTimes

WORKS = "import sys, time\nwhile time.process_time() < 0.1: pass\nprint(flush=True)\nsys.stdin.read()"


def test_a_child_s_time_is_its_kind_s_and_stays_when_it_has_ended() -> None:
    times = ProcessorTimes()
    command = [sys.executable, "-c", WORKS, "triton_python_backend_stub /models/clip_decoder/1/model.py"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        used = times.read()
        assert used["clip_decoder",] > 0.05
        assert used["gateway",] > 0
    assert times.read()["clip_decoder",] == used["clip_decoder",]
