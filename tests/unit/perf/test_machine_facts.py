"""What is told of the machine."""

from __future__ import annotations

import getpass
import platform
import socket
from importlib.metadata import version
from pathlib import Path

from wildgate_perf.machine_facts import machine_facts, same_machine

CPUINFO = """processor\t: 0
model name\t: Example CPU 3000 @ 2.0GHz
flags\t\t: fpu avx2 fma sse

processor\t: 1
model name\t: Another
flags\t\t: amx_int8
"""


def test_the_processor_is_read_from_the_kernel(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(CPUINFO)
    facts = machine_facts(cpuinfo=file)
    assert facts["cpu"] == "Example CPU 3000 @ 2.0GHz"
    assert facts["cpu_flags"] == "avx2 fma"
    assert facts["cores"] >= 1
    assert facts["memory_gib"] > 0
    assert facts["python"] == platform.python_version()


def test_without_it_there_is_still_a_name(tmp_path: Path) -> None:
    assert machine_facts(cpuinfo=tmp_path / "away")["cpu"]


def test_versions_are_those_that_are_installed() -> None:
    facts = machine_facts(("numpy", "no-such-distribution"))
    assert facts["version_numpy"] == version("numpy")
    assert "version_no-such-distribution" not in facts


def test_machines_are_the_same_by_processor_cores_and_versions() -> None:
    facts = machine_facts()
    assert same_machine(facts, {**facts, "load_1min": 99.0, "kernel": "Linux 9"})
    for name in ("cpu", "cores", "python", "version_onnxruntime"):
        assert not same_machine(facts, {**facts, name: "another"})
    assert not same_machine(facts, {name: fact for name, fact in facts.items() if name != "version_numpy"})
    assert not same_machine({}, facts)
    assert not same_machine({}, {})


def test_nothing_tells_where_or_whose_it_is() -> None:
    told = " ".join(str(value) for value in machine_facts().values())
    assert "/" not in told
    for secret in (socket.gethostname(), str(Path.home()), getpass.getuser()):
        assert secret not in told.split()
