"""What is told of the machine."""

from __future__ import annotations

import getpass
import socket
from pathlib import Path

from wildgate_perf.machine_facts import machine_facts, same_machine


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
