import json
import os
import sys
from pathlib import Path

import pytest
from checkout import SUPPORT

from wildgate_perf.bench.peers.clients import HttpClient
from wildgate_perf.bench.peers.contest import Entry, Material, PeerTurn, Round, run_contest
from wildgate_perf.bench.peers.detector import Answer
from wildgate_perf.bench.peers.peer_setup import Peer, PeerFailed, PeerSetup
from wildgate_perf.loops import LoadPlan

SERVER = SUPPORT / "fake_peer_server.py"
ANSWER: Answer = {"times_s": [0.0], "detections": [[0, 0.1, 0.1, 0.9, 0.9, 0.8, 3]]}
PLAN = LoadPlan(clients=2, warm_up_s=0.05, seconds=0.3)


@pytest.fixture
def material(tmp_path: Path) -> Material:
    video = tmp_path / "video.mp4"
    video.write_bytes(b"a video" * 100)
    return Material(
        graph=tmp_path / "model.onnx",
        repository=tmp_path,
        letterbox_value=114,
        labels=(),
        videos=(video,),
        expected={video: ANSWER},
    )


def fake(ready_s: float = 90.0, packages: tuple[str, ...] = ("numpy",), **environment: str) -> PeerTurn:
    source_roots = os.pathsep.join(path for path in sys.path if path)
    peer = Peer(
        name="fake",
        title="Fake",
        packages=packages,
        command=lambda setup: [sys.executable, str(SERVER)],
        client=HttpClient,
        environment={"FAKE_PEER_ANSWER": json.dumps(ANSWER), "PYTHONPATH": source_roots, **environment},
    )
    return PeerTurn(peer, cores=1, ready_s=ready_s)


def runs(pid: int) -> bool:
    """Whether a process is there, and not only waits for its parent to ask how it ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def entry_of(turn: PeerTurn, material: Material, rounds: int = 1) -> Entry:
    return run_contest([turn], material, PLAN, rounds, say=lambda line: None)["fake"]


def test_a_peer_is_started_checked_asked_and_stopped(material: Material, tmp_path: Path) -> None:
    note = tmp_path / "child"
    work_s = 0.02  # for each answer; Linux counts in hundredths of a second
    entry = entry_of(fake(FAKE_PEER_CHILD=str(note), FAKE_PEER_WORK_S=str(work_s)), material, rounds=2)
    assert entry.failed == ""
    assert len(entry.rounds) == 2
    for result in entry.rounds:
        assert result.videos_per_s > 1
        assert result.took_p50_ms is not None
        assert result.took_p99_ms is not None
        assert 0 < result.took_p50_ms <= result.took_p99_ms
        assert result.cpu_ms_per_video > 0.5 * work_s * 1e3
        assert result.load_cpu_ms_per_video > 0
        assert result.other_load_cores >= 0
        assert result.off_by == 0
    assert not runs(int(note.read_text(encoding="utf-8")))


def test_a_peer_that_answers_wrongly_fails(material: Material) -> None:
    wrong = json.dumps({"times_s": [0.0], "detections": []})
    entry = entry_of(fake(FAKE_PEER_ANSWER=wrong), material, rounds=2)
    assert entry.rounds == []
    assert "a score is 0.750 off" in entry.failed


def test_a_peer_that_ends_by_itself_fails_quoting_its_log(material: Material) -> None:
    entry = entry_of(fake(FAKE_PEER_ENDS="1"), material)
    assert "ended with status 3" in entry.failed
    assert "cannot find my model" in entry.failed


def test_a_peer_that_never_answers_fails_in_time(material: Material) -> None:
    assert "no answer within 0.5 s" in entry_of(fake(0.5, FAKE_PEER_FAILS="1"), material).failed


def test_a_peer_that_is_not_installed_is_absent_with_the_reason(material: Material) -> None:
    entry = entry_of(fake(packages=("numpy", "no-such-distribution")), material)
    assert (entry.failed, entry.rounds, entry.measured) == ("", [], False)
    assert "no-such-distribution is not installed" in entry.absent


def test_facts_tell_versions_and_tuning() -> None:
    facts = fake().facts()
    assert facts["tuning"]["workers"] == 1  # type: ignore[index]
    assert set(facts["versions"]) == {"numpy"}  # type: ignore[call-overload]


class Turns:
    """A contender that takes notes of its turns."""

    tolerance = 0.1

    def __init__(self, name: str, notes: list[str], fails_in: int | None = None) -> None:
        self.name = self.title = name
        self._notes, self._fails_in, self._taken = notes, fails_in, 0

    def facts(self) -> dict[str, object]:
        return {}

    def turn(self, material: Material, plan: LoadPlan) -> Round:
        self._notes.append(self.name)
        self._taken += 1
        if self._taken == self._fails_in:
            raise PeerFailed("it broke")
        return Round(1.0, None, None, 1.0, 0.0, 0.0, 0.0)


def test_turns_are_taken_in_rounds_that_begin_with_others(material: Material) -> None:
    notes: list[str] = []
    run_contest([Turns(name, notes) for name in "abc"], material, PLAN, 3, say=lambda line: None)
    assert notes == [*"abc", *"bca", *"cab"]


def test_one_that_failed_takes_no_further_turn(material: Material) -> None:
    notes: list[str] = []
    turns = [Turns("a", notes, fails_in=2), Turns("b", notes)]
    entries = run_contest(turns, material, PLAN, 3, say=lambda line: None)
    assert notes.count("a") == 2
    assert notes.count("b") == 3
    assert [entry.failed for entry in entries.values()] == ["it broke", ""]


def test_a_setup_reaches_a_peers_processes_whole(tmp_path: Path) -> None:
    setup = PeerSetup(tmp_path / "model.onnx", 114, 4321, tmp_path, workers=3)
    environment = setup.environment()
    assert PeerSetup.from_environment(environment) == setup
    assert environment["OMP_NUM_THREADS"] == "1"
    assert setup.address == "127.0.0.1:4321"


def test_a_process_that_was_told_nothing_says_so() -> None:
    with pytest.raises(PeerFailed, match="not by hand"):
        PeerSetup.from_environment({})
