"""A block service with a long list and two copies that follow it, each in a process of its own that is killed."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from wildgate_client import Block, BlocksClient, ClientOptions, Fingerprint, FrameFingerprint
from wildgate_perf.server_parts import HASH_BYTES, free_port

__all__ = ["followed"]

_SERVE = "import sys; from wildgate_server import blocks_command as it; sys.exit(it.blocks_serve_command(sys.argv[1:]))"
_CHANGES = 50
_PATIENCE = ClientOptions(deadline_s=300.0)


async def followed(directory: Path, entries: int) -> dict[str, Any]:
    """A list of so many `entries`, of a hash and a SHA-256 each, is imported, killed, loaded, copied and changed.

    `in_force_ms`: from sending an entry until both copies have it; the copies are asked about videos all the while.
    """
    figures: dict[str, Any] = {"entries": entries}
    target = f"127.0.0.1:{free_port()}"
    with ExitStack() as running:
        service = running.enter_context(_Process.serving(directory / "service", target))
        async with BlocksClient(target, _PATIENCE) as client:
            began = time.monotonic()
            async for _ in client.import_blocks(_entries(entries)):
                pass
            figures["imported_s"] = time.monotonic() - began
            figures["service_bytes"] = service.bytes
        figures["disk_bytes"] = (directory / "service" / "blocks.log").stat().st_size
        service.kill()
        began = time.monotonic()
        service = running.enter_context(_Process.serving(directory / "service", target))
        figures["service_restarted_s"] = time.monotonic() - began

        began = time.monotonic()
        copies = [running.enter_context(_Process.copying(directory / name, target)) for name in ("one", "two")]
        figures["copied_s"] = [copy.until(entries) - began for copy in copies]
        for copy in copies:
            copy.asked()
        sent, acknowledged, arrived = [], [], []
        async with BlocksClient(target, _PATIENCE) as client:
            for _ in range(_CHANGES):
                sent.append(time.monotonic())
                position = (await client.add([*_entries(1, seed=None)])).position
                acknowledged.append(time.monotonic())
                arrived.append(max(copy.until(position) for copy in copies))
        figures["acknowledged_ms"] = _spread(sent, acknowledged)
        figures["in_force_ms"] = _spread(sent, arrived)
        figures["copies"] = [copy.asked() for copy in copies]

        copies[0].kill()
        began = time.monotonic()
        again = running.enter_context(_Process.copying(directory / "one", target))
        figures["copy_restarted_s"] = again.until(position) - began
        figures |= again.loaded
    return figures


def _entries(count: int, seed: int | None = 1) -> Iterator[Block]:
    draw = np.random.default_rng(seed)
    for _ in range(count):
        frame = FrameFingerprint(0.0, 90, (draw.bytes(HASH_BYTES),))
        yield Block((f"sha256:{draw.bytes(32).hex()}",), Fingerprint((frame,)), reason="case 7", source="measured")


def _spread(begun: list[float], ended: list[float]) -> dict[str, float]:
    times = sorted(1e3 * (end - begin) for begin, end in zip(begun, ended, strict=True))
    return {"median": statistics.median(times), "most": times[-1]}


class _Process:
    """One that tells something by the line."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.loaded: dict[str, float] = {}

    @classmethod
    @contextmanager
    def serving(cls, directory: Path, target: str) -> Iterator[_Process]:
        """A block service that is ready."""
        process = cls("-c", _SERVE, "--directory", str(directory), "--listen", target)
        try:
            process.line()
            yield process
        finally:
            process.kill()

    @classmethod
    @contextmanager
    def copying(cls, directory: Path, target: str) -> Iterator[_Process]:
        """A copy of its list."""
        process = cls("-m", "wildgate_perf.block_list.copy", str(directory), target)
        try:
            yield process
        finally:
            process.kill()

    @property
    def bytes(self) -> int:
        """What it has in memory."""
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def kill(self) -> None:
        """As by `kill -9`."""
        self._process.kill()
        self._process.communicate()

    def line(self) -> str:
        """The next one. Raises RuntimeError where there is none."""
        assert self._process.stdout
        if line := self._process.stdout.readline():
            return line
        raise RuntimeError(f"the process ended with status {self._process.wait()}")

    def until(self, position: int) -> float:
        """When it had come as far, monotonic seconds."""
        while True:
            told = json.loads(self.line())
            if "loaded_s" in told:
                self.loaded = {"copy_loaded_s": told["loaded_s"], "copy_loaded_cpu_s": told["loaded_cpu_s"]}
            elif told.get("position", -1) >= position:
                return float(told["at"])

    def asked(self) -> dict[str, Any]:
        """How its lookups went since it was last asked."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        while "lookups" not in (told := json.loads(self.line())):
            pass
        return dict(told)
