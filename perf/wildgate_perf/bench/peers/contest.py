"""The contest: who takes part, whose turn it is, what came of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from wildgate_perf.bench.peers.agreement import check
from wildgate_perf.bench.peers.clients import PeerClient, VideoRequests, WildgateClient, answers
from wildgate_perf.bench.peers.common_script import CommonScript
from wildgate_perf.bench.peers.detector import Answer
from wildgate_perf.bench.peers.peer_process import running
from wildgate_perf.bench.peers.peer_setup import Peer, PeerAbsent, PeerFailed, PeerSetup, versions
from wildgate_perf.bench.phase import Bystanders, PhaseFailed, all_answered, observed
from wildgate_perf.cpu_time import CpuTimes
from wildgate_perf.load_generator import LoadFailed, LoadGenerator
from wildgate_perf.local_server import ServerStartFailed
from wildgate_perf.loops import LoadPlan
from wildgate_perf.offline import ScoringLoop
from wildgate_perf.processes import ProcessEnded
from wildgate_perf.server_parts import free_endpoints
from wildgate_perf.server_process import ServerStoppedBadly, serving
from wildgate_perf.spread import Spread

_READY_POLL_S = 0.1


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
    """One contender's turn: milliseconds, and processor milliseconds per video of the server and of its clients.

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
    """One that takes part: its key in the results, its name in the table, and how far a score may be off."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def tolerance(self) -> float: ...

    def facts(self) -> dict[str, object]:
        """Versions and settings. Raises PeerAbsent when it cannot take part."""

    def turn(self, material: Material, plan: LoadPlan) -> Round:
        """Starts, checks, measures, stops. Raises PeerFailed."""


class PeerTurn:
    """A peer, from start to stop; `ready_s` is how long it may take until it answers."""

    tolerance = 0.02

    def __init__(self, peer: Peer, cores: int, ready_s: float = 90.0) -> None:
        self.name, self.title = peer.name, peer.title
        self._peer, self._cores, self._ready_s = peer, cores, ready_s

    def facts(self) -> dict[str, object]:
        """Versions, worker processes, and what was tried."""
        tuning, tried = {"workers": self._cores}, list(self._peer.tried)
        return {"versions": versions(self._peer.packages), "tuning": tuning, "tried": tried}

    def turn(self, material: Material, plan: LoadPlan) -> Round:
        """One turn in processes of its own."""
        with tempfile.TemporaryDirectory(prefix="wildgate-peer-", ignore_cleanup_errors=True) as folder:
            port = int(free_endpoints().grpc.rpartition(":")[2])
            setup = PeerSetup(material.graph, material.letterbox_value, port, Path(folder), self._cores)
            # Frameworks leave stores and tokens at home.
            environment = {**setup.environment(), "HOME": folder, **self._peer.environment}
            with running(self._peer.command(setup), environment, setup.scratch) as process:
                client = self._peer.client(setup.address)
                smallest = min(material.expected, key=lambda video: video.stat().st_size)
                _await_ready(client, smallest, process.check_alive, self._ready_s)
                try:
                    return _measured(client, material, plan, self.tolerance, process.cpu_times)
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
        """One turn in processes of its own."""
        folders = sorted({file.parent.resolve() for file in (*material.videos, *material.expected)})
        served = {"backend__model_repository": material.repository, "source__file_roots": folders, **self.settings}
        with tempfile.TemporaryDirectory(prefix="wildgate-peer-", ignore_cleanup_errors=True) as logs:
            try:
                with serving(log_folder=Path(logs), **served) as server:
                    client = WildgateClient(server.target, material.labels, by_uri=self.by_uri)
                    return _measured(client, material, plan, self.tolerance, server.cpu_times)
            except (ServerStartFailed, ServerStoppedBadly) as error:
                raise PeerFailed(str(error)) from error


@dataclass(frozen=True)
class CommonScriptTurn:
    """The common script; it is not asked over a network, so it has no latency."""

    cores: int
    name: str = "common_script"
    title: str = "common script (OpenCV)"
    tolerance: float = 0.15

    def facts(self) -> dict[str, object]:
        """Version and processes."""
        return {"versions": versions(("opencv-python-headless",)), "tuning": {"processes": self.cores}}

    def turn(self, material: Material, plan: LoadPlan) -> Round:
        """One turn in processes of its own; it finishes the videos it is at."""
        try:
            scorer = partial(CommonScript, material.graph, material.letterbox_value)
            with ScoringLoop(scorer, material.videos, self.cores) as script:
                off_by = check(material.expected, script.answers(list(material.expected)), self.tolerance)
                watch = Bystanders()
                result = script.score(plan.seconds)
                others = sum(watch.cores(result.cpu_s).values())
        except ProcessEnded as error:
            raise PeerFailed(str(error)) from error
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

    @property
    def measured(self) -> bool:
        """Whether all its turns were measured."""
        return bool(self.rounds) and not self.failed and not self.absent

    @property
    def median_per_s(self) -> float:
        """Videos per second; -1 where it was not measured."""
        return Spread.of(each.videos_per_s for each in self.rounds).median if self.measured else -1.0


def run_contest(
    contenders: Sequence[Contender], material: Material, plan: LoadPlan, rounds: int, say: Callable[[str], None]
) -> dict[str, Entry]:
    """Every contender takes its turn in every round, each round beginning with another one; what came of it, by name.

    One that failed takes no further turn.
    """
    entries = {each.name: Entry(each.title, each.tolerance) for each in contenders}
    for each in contenders:
        try:
            entries[each.name].facts = each.facts()
        except PeerAbsent as error:
            entries[each.name].absent = str(error)
            say(f"{each.title}: absent: {error}")
    for number in range(rounds):
        first = number * max(1, len(contenders) // rounds) % max(1, len(contenders))
        for each in (*contenders[first:], *contenders[:first]):
            entry, began = entries[each.name], time.monotonic()
            if entry.absent or entry.failed:
                continue
            try:
                entry.rounds.append(result := each.turn(material, plan))
            except PeerFailed as error:
                entry.failed = str(error)
                say(f"{each.title}: failed: {error}")
            else:
                say(
                    f"round {number + 1}: {each.title}: {result.videos_per_s:.2f} videos/s, "
                    f"{result.cpu_ms_per_video:.0f} ms of processor a video ({time.monotonic() - began:.0f} s)"
                )
    return entries


def _measured(
    client: PeerClient, material: Material, plan: LoadPlan, tolerance: float, cpu_times: Callable[[], CpuTimes]
) -> Round:
    off_by = check(material.expected, answers(client, list(material.expected)), tolerance)
    try:
        with LoadGenerator() as load:
            seen = observed(cpu_times, lambda: load.closed(VideoRequests(client, material.videos), plan))
            measured, answered = all_answered(seen.loaded), seen.loaded.answered
    except (LoadFailed, PhaseFailed) as error:
        raise PeerFailed(str(error)) from error
    return Round(
        measured.per_s,
        measured.took_ms(0.5),
        measured.took_ms(0.99),
        seen.used.total_s * 1e3 / answered,
        seen.loaded.cpu_s * 1e3 / answered,
        sum(seen.others.values()),
        off_by,
    )


def _await_ready(client: PeerClient, video: Path, check_alive: Callable[[], None], ready_s: float) -> None:
    deadline = time.monotonic() + ready_s
    while True:
        try:
            answers(client, [video])
        except PeerFailed:
            check_alive()
            if time.monotonic() > deadline:
                raise PeerFailed(f"no answer within {ready_s:g} s of its start") from None
            time.sleep(_READY_POLL_S)
        else:
            return
