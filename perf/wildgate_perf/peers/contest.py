"""The contest: who takes part, whose turn it is, what came of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from wildgate_perf.bench.phase import Bystanders
from wildgate_perf.cpu_time import CpuTimes
from wildgate_perf.local_server import ServerStartFailed
from wildgate_perf.loops import LoadPlan
from wildgate_perf.peers.agreement import check
from wildgate_perf.peers.common_script import CommonScript
from wildgate_perf.peers.detector import Answer
from wildgate_perf.peers.grpc_asker import WildgateAsker
from wildgate_perf.peers.load import Load
from wildgate_perf.peers.peer import Peer, versions
from wildgate_perf.peers.peer_process import running
from wildgate_perf.peers.peer_setup import PeerAbsent, PeerFailed, PeerSetup
from wildgate_perf.server_process import ServerStoppedBadly, serving
from wildgate_server.triton.launch import free_endpoints

__all__ = ["CommonScriptTurn", "Contender", "Contest", "Entry", "Material", "PeerTurn", "Round", "WildgateTurn", "hold"]


@dataclass(frozen=True)
class Material:
    """What everybody works on; `expected` are the answers that have to come out."""

    graph: Path
    repository: Path
    letterbox_value: int
    labels: tuple[str, ...]
    videos: tuple[Path, ...]
    expected: Mapping[Path, Answer]


@dataclass(frozen=True)
class Round:
    """One contender's turn: milliseconds, and processor milliseconds per video of the server and of who asked it.

    `other_load_cores` is how many cores were busy with something else, `off_by` the largest difference of a score from
    what was expected.
    """

    videos_per_s: float
    took_p50_ms: float | None
    took_p99_ms: float | None
    cpu_ms_per_video: float
    load_cpu_ms_per_video: float
    other_load_cores: float
    off_by: float


class Contender(Protocol):
    """Somebody who takes part."""

    @property
    def name(self) -> str:
        """Its key in the results."""

    @property
    def title(self) -> str:
        """Its name in table and picture."""

    @property
    def tolerance(self) -> float:
        """How far a score may be off."""

    def facts(self) -> dict[str, object]:
        """Versions and settings. Raises PeerAbsent when it cannot take part."""

    def turn(self, material: Material, plan: LoadPlan) -> Round:
        """Starts, checks, measures, stops. Raises PeerFailed."""


@dataclass(frozen=True)
class PeerTurn:
    """A peer, from start to stop; `ready_s` is how long it may take until it answers."""

    peer: Peer
    cores: int
    tolerance: float = 0.02
    ready_s: float = 90.0

    @property
    def name(self) -> str:
        """Its key."""
        return self.peer.name

    @property
    def title(self) -> str:
        """Its name in the table."""
        return self.peer.title

    def facts(self) -> dict[str, object]:
        """Versions, tuning, and what else was tried. Raises PeerAbsent."""
        tuning = self.peer.tuning(self.cores)
        return {"versions": versions(self.peer.packages), "tuning": vars(tuning), "tried": list(self.peer.tried)}

    def turn(self, material: Material, plan: LoadPlan) -> Round:
        """One turn in processes of its own. Raises PeerFailed."""
        with tempfile.TemporaryDirectory(prefix="wildgate-peer-", ignore_cleanup_errors=True) as folder:
            setup = PeerSetup(
                material.graph, material.letterbox_value, _free_port(), Path(folder), self.peer.tuning(self.cores)
            )
            # Frameworks leave stores and tokens at home.
            environment = {**setup.environment(), "HOME": folder, **self.peer.environment}
            with (
                running(self.peer.command(setup), setup.address, environment, setup.scratch) as process,
                Load(self.peer.asker(setup.address), material.videos) as load,
            ):
                smallest = min(material.expected, key=lambda video: video.stat().st_size)
                _await_ready(load, smallest, process.check_alive, self.ready_s)
                try:
                    return _measured(load, material, plan, self.tolerance, process.cpu_times)
                except PeerFailed as error:
                    raise PeerFailed(f"{error}\n{process.log_tail()}") from error


@dataclass(frozen=True)
class WildgateTurn:
    """`wildgate serve`, its cache off; asked with the videos' bytes, or (`by_uri`) where they lie."""

    name: str = "wildgate"
    title: str = "wildgate"
    by_uri: bool = False
    tolerance: float = 0.1
    settings: Mapping[str, object] = field(default_factory=lambda: {"cache__max_entries": 0})

    def facts(self) -> dict[str, object]:
        """Version and settings."""
        return {"versions": versions(("wildgate",)), "settings": dict(self.settings)}

    def turn(self, material: Material, plan: LoadPlan) -> Round:
        """One turn in processes of its own. Raises PeerFailed."""
        folders = {file.parent.resolve() for file in (*material.videos, *material.expected)}
        with tempfile.TemporaryDirectory(prefix="wildgate-peer-", ignore_cleanup_errors=True) as logs:
            try:
                with (
                    serving(
                        log_folder=Path(logs),
                        backend__model_repository=material.repository,
                        source__file_roots=sorted(folders),
                        **self.settings,
                    ) as server,
                    Load(WildgateAsker(server.target, material.labels, by_uri=self.by_uri), material.videos) as load,
                ):
                    return _measured(load, material, plan, self.tolerance, server.cpu_times)
            except (ServerStartFailed, ServerStoppedBadly) as error:
                raise PeerFailed(str(error)) from error


@dataclass(frozen=True)
class CommonScriptTurn:
    """The common script; nobody asks it, so it has no latency."""

    cores: int
    name: str = "common_script"
    title: str = "common script (OpenCV)"
    tolerance: float = 0.15

    def facts(self) -> dict[str, object]:
        """Version and processes. Raises PeerAbsent."""
        return {"versions": versions(("opencv-python-headless",)), "tuning": {"processes": self.cores}}

    def turn(self, material: Material, plan: LoadPlan) -> Round:
        """One turn in processes of its own; it finishes the videos it is at. Raises PeerFailed."""
        with CommonScript(material.graph, material.letterbox_value, self.cores) as script:
            off_by = check(material.expected, script.answers(list(material.expected)), self.tolerance)
            script.run(material.videos, 0.1)  # every process has scored one
            watch = Bystanders(time.perf_counter)
            result = script.run(material.videos, plan.seconds)
            others = sum(watch.cores(result.cpu_s).values())
        return Round(result.per_s, None, None, result.cpu_s * 1e3 / result.videos, 0.0, others, off_by)


@dataclass
class Entry:
    """What is known of a contender: its rounds, or why there is none (`absent`), or what went wrong (`failed`)."""

    title: str
    tolerance: float
    facts: dict[str, object] = field(default_factory=dict)
    rounds: list[Round] = field(default_factory=list)
    absent: str = ""
    failed: str = ""


@dataclass
class Contest:
    """What came of all rounds, by contender."""

    entries: dict[str, Entry]

    @property
    def failed(self) -> list[str]:
        """Who failed."""
        return [name for name, entry in self.entries.items() if entry.failed]


def hold(
    contenders: Sequence[Contender],
    material: Material,
    plan: LoadPlan,
    rounds: int,
    say: Callable[[str], None],
    *,
    after_round: Callable[[Contest], None] = lambda so_far: None,
) -> Contest:
    """Every contender takes its turn in every round, each round beginning with another one.

    Who failed once takes no further turn. `after_round` is told what came of all rounds so far.
    """
    contest = Contest({each.name: Entry(each.title, each.tolerance) for each in contenders})
    for each in contenders:
        try:
            contest.entries[each.name].facts = each.facts()
        except PeerAbsent as error:
            contest.entries[each.name].absent = str(error)
            say(f"{each.title}: absent: {error}")
    for number in range(rounds):
        first = number * max(1, len(contenders) // rounds) % max(1, len(contenders))
        for each in (*contenders[first:], *contenders[:first]):
            entry = contest.entries[each.name]
            if entry.absent or entry.failed:
                continue
            began = time.monotonic()
            try:
                entry.rounds.append(each.turn(material, plan))
            except PeerFailed as error:
                entry.failed = str(error)
                say(f"{each.title}: failed: {error}")
            else:
                result = entry.rounds[-1]
                say(
                    f"round {number + 1}: {each.title}: {result.videos_per_s:.2f} videos/s, "
                    f"{result.cpu_ms_per_video:.0f} ms of processor a video ({time.monotonic() - began:.0f} s)"
                )
        after_round(contest)
    return contest


def _measured(
    load: Load, material: Material, plan: LoadPlan, tolerance: float, cpu_times: Callable[[], CpuTimes]
) -> Round:
    off_by = check(material.expected, load.answers(list(material.expected)), tolerance)
    watch, before = Bystanders(time.perf_counter), cpu_times()
    loaded = load.run(plan)
    used = cpu_times().since(before)
    others = watch.cores(used.total_s + loaded.cpu_s)
    measured = loaded.measured
    if measured.failures:
        raise PeerFailed(f"{len(measured.failures)} questions failed, the first: {measured.failures[0]}")
    if not measured.answers:
        raise PeerFailed(f"no answer within {plan.seconds:g} s")
    return Round(
        measured.per_s,
        measured.took_ms(0.5),
        measured.took_ms(0.99),
        used.total_s * 1e3 / loaded.answered,
        loaded.cpu_s * 1e3 / loaded.answered,
        sum(others.values()),
        off_by,
    )


def _await_ready(load: Load, video: Path, check_alive: Callable[[], None], ready_s: float) -> None:
    deadline = time.monotonic() + ready_s
    while not load.answered(video):
        check_alive()
        if time.monotonic() > deadline:
            raise PeerFailed(f"no answer within {ready_s:g} s of its start")


def _free_port() -> int:
    return int(free_endpoints().grpc.rpartition(":")[2])
