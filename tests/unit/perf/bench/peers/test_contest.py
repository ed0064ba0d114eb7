"""Peers as processes, and the turns that contenders take."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from checkout import SUPPORT

from wildgate_perf.bench.peers.contenders import Contender, Material, Started, _http
from wildgate_perf.bench.peers.http_peer import HttpPeer
from wildgate_perf.bench.peers.phase import Contest, run_contest, server_cpu_ms, versions
from wildgate_perf.bench.peers.scorer import Answer
from wildgate_perf.bench.phase import Bench, Observed, PhaseFailed, Way
from wildgate_perf.bench.plan import QUICK
from wildgate_perf.cpu_time import CpuTimes
from wildgate_perf.loops import Measured, Outcome

ANSWER: Answer = {"times_s": [0.0], "detections": [[0, 0.1, 0.1, 0.9, 0.9, 0.8, 3]]}


@pytest.fixture
def material(tmp_path: Path) -> Material:
    video = tmp_path / "video.mp4"
    video.write_bytes(b"a video" * 100)
    plan = replace(QUICK, warm_up_s=0.05, peer_s=0.6, peer_rounds=2)
    bench = Bench(plan, tmp_path, tmp_path, say=lambda line: None)
    return Material(bench, tmp_path / "model.onnx", 114, (), (video,), {video: ANSWER})


def fake(**environment: str) -> HttpPeer:
    return HttpPeer(
        title="Fake",
        packages=("numpy",),
        command=lambda setup: [sys.executable, str(SUPPORT / "fake_peer_server.py")],
        environment={
            "FAKE_PEER_ANSWER": json.dumps(ANSWER),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            **environment,
        },
    )


def contested(material: Material, **environment: str) -> Contest:
    contender = Contender("Fake", ("numpy",), 0.02, lambda material: _http(material, peer=fake(**environment)))
    return run_contest({"fake": contender}, material)


def runs(pid: int) -> bool:
    """Whether a process is there, and not only waits for its parent to ask how it ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_peer_is_started_checked_asked_and_stopped(material: Material, tmp_path: Path) -> None:
    note = tmp_path / "child"
    work_s = 0.02  # for each answer; Linux counts in hundredths of a second
    contest = contested(material, FAKE_PEER_CHILD=str(note), FAKE_PEER_WORK_S=str(work_s))
    assert contest.off_by == {"fake": 0}
    assert len(contest.rounds["fake"]) == 2
    for seen in contest.rounds["fake"]:
        assert seen.measured.per_s > 1
        assert 0 < seen.measured.took_ms(0.5) <= seen.measured.took_ms(0.99)
        assert server_cpu_ms(seen) > 0.5 * work_s * 1e3
        assert seen.measured.cpu_s > 0
    assert not runs(int(note.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"FAKE_PEER_ANSWER": json.dumps({"times_s": [0.0], "detections": []})}, r"^Fake: .*a score is 0\.750 off"),
        ({"FAKE_PEER_ENDS": "1"}, r"(?s)ended with status 3.*cannot find my model"),  # quoting its log
    ],
)
def test_a_peer_that_answers_wrongly_or_ends_fails_the_contest(
    material: Material, environment: dict[str, str], words: str
) -> None:
    with pytest.raises(PhaseFailed, match=words):
        contested(material, **environment)


def turns(notes: list[str], fails: str = "") -> Callable[[str], Contender]:
    """Contenders that take notes of their turns."""

    class Noted(Way):
        def round(self, warm_up_s: float, seconds: float) -> Observed:
            outcome = Outcome(0, 0, 0.1)
            return Observed(Measured((outcome,), (outcome,), 0, 1), CpuTimes({"peer": 0.1}), {})

    def contender(name: str) -> Contender:
        @contextmanager
        def start(material: Material) -> Iterator[Started]:
            notes.append(name)
            if name == fails:
                raise PhaseFailed("it broke")
            nothing: Any = None
            yield lambda video: ANSWER, Noted(nothing, nothing, 1)

        return Contender(name, ("numpy",), 0.1, start)

    return contender


def test_turns_are_taken_in_rounds_that_begin_with_others(material: Material) -> None:
    notes: list[str] = []
    contender = turns(notes)
    material = replace(material, bench=replace(material.bench, plan=replace(material.bench.plan, peer_rounds=3)))
    run_contest({name: contender(name) for name in "abc"}, material)
    assert notes == [*"abc", *"bca", *"cab"]


def test_one_that_is_not_installed_is_named_with_what_installs_it() -> None:
    contender = turns([])("a")
    assert versions(contender).keys() == {"numpy"}
    with pytest.raises(PhaseFailed, match="no-such-distribution is not installed: make bench-peers installs it"):
        versions(replace(contender, packages=("numpy", "no-such-distribution")))
