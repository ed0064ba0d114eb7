"""Faults of a fleet: two gateways behind a balancer, which share two Tritons behind one target."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from wildgate_perf.chaos.balancer import balancing
from wildgate_perf.chaos.fault import Fault
from wildgate_perf.server_parts import free_address
from wildgate_perf.server_process import MODEL_REPOSITORY, ServerProcess, ServerStoppedBadly, serving

__all__ = ["FAULTS", "Fleet", "fleet"]

_AWAY_S = 4.0  # how long a Triton that was killed stays away


@dataclass
class Gateway:
    """One of the gateways, always at the same addresses."""

    folder: Path
    triton: str
    address: str = field(default_factory=free_address)
    health: str = field(default_factory=free_address)
    _running: ExitStack = field(default_factory=ExitStack)
    server: ServerProcess | None = None

    def start(self) -> None:
        """Returns when it is ready."""
        self.server = self._running.enter_context(
            serving(
                log_folder=self.folder,
                endpoint__address=self.address,
                endpoint__health=self.health,
                backend__target=self.triton,
                cache__max_entries=0,
            )
        )

    def stop(self) -> None:
        """Raises ServerStoppedBadly."""
        self._running.close()

    def kill(self) -> None:
        """As `kill -9` does."""
        assert self.server
        for process in self.server.processes():
            with suppress(psutil.Error):
                if process.cmdline()[1:] == ["-m", "wildgate_server"]:
                    process.kill()
        with suppress(ServerStoppedBadly):
            self._running.close()


@dataclass
class Triton:
    """One of the Tritons, reached by the same port whichever process runs it; `metrics` are its own."""

    folder: Path
    address: str = field(default_factory=free_address)
    metrics: str = ""
    _process: subprocess.Popen[str] | None = None

    @property
    def socket(self) -> Path:
        """A link to where it listens now."""
        return self.folder / "socket"

    def start(self) -> None:
        """Returns when it is ready."""
        self.folder.mkdir(exist_ok=True)
        command = (sys.executable, "-m", "wildgate_perf.chaos.triton", str(MODEL_REPOSITORY), str(self.folder))
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout
        said = next(line for line in self._process.stdout if line.startswith("unix:"))  # the rest is its log
        target, self.metrics = said.split()
        self.socket.unlink(missing_ok=True)
        self.socket.symlink_to(target.removeprefix("unix:"))

    def kill(self) -> None:
        """As `kill -9` of what runs it does: its guard sees to the rest."""
        if self._process:
            self._process.kill()
            self._process.communicate()

    @property
    def scored(self) -> int:
        """Inferences of its detector."""
        with urllib.request.urlopen(f"http://{self.metrics}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        counts = [line for line in lines if line.startswith('nv_inference_count{model="wildlife_detector"')]
        return sum(int(float(line.split()[-1])) for line in counts)


@dataclass
class Fleet:
    """What faults are played on; `target` is the balancer, `notes` what they found out."""

    target: str
    gateways: list[Gateway]
    tritons: list[Triton]
    notes: list[str] = field(default_factory=list)


@asynccontextmanager
async def fleet(folder: Path) -> AsyncIterator[Fleet]:
    """Runs all of it as long as the context lasts."""
    tritons = [Triton(folder / f"triton{number}") for number in range(2)]
    targets = "ipv4:" + ",".join(each.address for each in tritons)
    gateways = [Gateway(folder / f"gateway{number}", targets) for number in range(2)]
    address = free_address()
    with ExitStack() as running:
        for triton in tritons:
            running.callback(triton.kill)
            await asyncio.to_thread(triton.start)
        healths = [(each.address, each.health) for each in gateways]
        running.enter_context(balancing(folder, address, healths, [(each.address, each.socket) for each in tritons]))
        for gateway in gateways:
            running.callback(gateway.stop)
            await asyncio.to_thread(gateway.start)
        yield Fleet(address, gateways, tritons)


async def _restart_in_turn(fleet: Fleet) -> None:
    for gateway in fleet.gateways:
        await asyncio.to_thread(gateway.stop)
        await asyncio.to_thread(gateway.start)
        await asyncio.sleep(1)


async def _kill_gateway(fleet: Fleet) -> None:
    await asyncio.to_thread(fleet.gateways[0].kill)
    await asyncio.to_thread(fleet.gateways[0].start)


async def _kill_triton(fleet: Fleet) -> None:
    first, second = fleet.tritons
    await asyncio.to_thread(first.kill)
    await asyncio.sleep(_AWAY_S)
    await asyncio.to_thread(first.start)
    await asyncio.sleep(_AWAY_S)
    before = first.scored, second.scored
    await asyncio.sleep(2 * _AWAY_S)
    own, others = first.scored - before[0], second.scored - before[1]
    share = own / max(1, own + others)
    fleet.notes.append(f"The Triton that came back had {share:.0%} of the work from {_AWAY_S:g} s after that on.")


FAULTS = (
    Fault("SIGTERM and start of each of two gateways in turn", _restart_in_turn, None),
    Fault("kill -9 of one of two gateways, and its start", _kill_gateway, None),
    Fault("kill -9 of one of two Tritons, and its start", _kill_triton, None),
)
"""Played on a Fleet."""
