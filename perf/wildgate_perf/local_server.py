"""Starts `wildgate serve` or `wildgate enforce` as a subprocess on loopback, and stops all that it started."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil

from wildgate_perf.cpu_time import marked_processes

__all__ = ["LocalServer", "LocalServerOptions", "ServerStartFailed", "StopReport"]

_READY_LINE = re.compile(r"^wildgate (?:enforcement )?is ready on (\S+:\d+)\s*$", re.MULTILINE)
# Marks every process that descends from the server, whatever sessions and groups it makes for itself.
_MARK = "LOCAL_WILDGATE_MARK"
_LOG_TAIL_LINES = 20
_POLL_S = 0.02


class ServerStartFailed(Exception):
    """The server ended or stayed silent before it was ready; the message names its log and quotes its end."""


@dataclass(frozen=True, slots=True)
class LocalServerOptions:
    """How the server is run.

    Its output is kept at `log_path`. `environment` comes on top of this process's own, `directory` is where
    it runs (by default where this process does). `stop_timeout_s` leaves room for the server's own drain.
    """

    log_path: Path
    command: Sequence[str] = (sys.executable, "-m", "wildgate_server", "--listen", "127.0.0.1:0")
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    ready_timeout_s: float = 150.0
    stop_timeout_s: float = 45.0
    orphan_grace_s: float = 2.0


@dataclass(frozen=True, slots=True)
class StopReport:
    """How the server went: its exit status, whether it had to be killed, and the processes it left behind."""

    exit_status: int
    killed: bool
    orphans: tuple[int, ...]

    @property
    def clean(self) -> bool:
        """Whether it stopped by itself when asked, with status 0, and took every process along."""
        return self.exit_status == 0 and not self.killed and not self.orphans

    def __str__(self) -> str:
        if self.clean:
            return "server stopped cleanly"
        words = [f"server exited with {self.exit_status}"]
        if self.killed:
            words.append("was killed because it did not stop in time")
        if self.orphans:
            words.append(f"left processes behind (now killed): {', '.join(map(str, self.orphans))}")
        return ", ".join(words)


class LocalServer:
    """A context manager: the server is ready on `target` (`HOST:PORT`) inside it, gone after it.

    Raises `ServerStartFailed` on entry; `stop_report` says after the exit how the server went.
    """

    def __init__(self, options: LocalServerOptions) -> None:
        self._options = options
        self._mark = uuid.uuid4().hex
        self.target = ""
        self.stop_report: StopReport | None = None

    def __enter__(self) -> Self:
        options = self._options
        options.log_path.parent.mkdir(parents=True, exist_ok=True)
        with options.log_path.open("wb") as log:
            try:
                self._process = subprocess.Popen(
                    options.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=options.directory,
                    env={**os.environ, **options.environment, _MARK: self._mark, "PYTHONUNBUFFERED": "1"},
                    # Ctrl-C at the terminal reaches only this process, which then stops the server.
                    start_new_session=True,
                )
            except OSError as error:
                raise ServerStartFailed(f"the server could not be started: {error}") from error
        try:
            self.target = self._await_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _await_ready(self) -> str:
        timeout_s = self._options.ready_timeout_s
        give_up_s = time.monotonic() + timeout_s
        what = f"was not ready in time ({timeout_s:g} s)"
        while time.monotonic() < give_up_s:
            ended = self._process.poll() is not None
            if ready := _READY_LINE.search(self._log()):
                return ready[1]
            if ended:
                what = "ended before it was ready"
                break
            time.sleep(_POLL_S)
        tail = "\n".join(f"  | {line}" for line in self._log().splitlines()[-_LOG_TAIL_LINES:])
        raise ServerStartFailed(f"the server {what}; its log: {self._options.log_path}\n{tail}")

    def _log(self) -> str:
        return self._options.log_path.read_text(encoding="utf-8", errors="replace")

    def _stop(self) -> None:
        killed = False
        self._process.terminate()
        try:
            self._process.wait(self._options.stop_timeout_s)
        except subprocess.TimeoutExpired:
            killed = True
            self._process.kill()
            self._process.wait()
        self.stop_report = StopReport(self._process.returncode, killed, self._kill_orphans())

    def _kill_orphans(self) -> tuple[int, ...]:
        """Kills what outlived the server, after a moment in which a dying process may still be seen."""
        psutil.wait_procs(marked_processes(_MARK, self._mark), self._options.orphan_grace_s)
        orphans = marked_processes(_MARK, self._mark)
        for orphan in orphans:
            with suppress(psutil.NoSuchProcess):
                orphan.kill()
        psutil.wait_procs(orphans, self._options.orphan_grace_s)
        return tuple(orphan.pid for orphan in orphans)
