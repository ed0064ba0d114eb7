"""Runs `wildgate serve` as a subprocess on a free loopback port, and stops every process it started."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

__all__ = ["LocalServer", "LocalServerOptions", "ServerStartFailed", "StopReport"]

READY_LINE = re.compile(r"wildgate is ready on (?P<target>\S+:\d+)\s*$")
# Marks all descendants of the server, whatever sessions and process groups they create.
MARK = "LOCAL_WILDGATE_MARK"
LOG_TAIL_LINES = 20


class ServerStartFailed(Exception):
    """The server was not ready in time, or ended before; the message names its log and quotes the last lines."""


@dataclass(frozen=True, slots=True)
class LocalServerOptions:
    """How to run the server.

    Its output goes to `log_path`. `environment` is added to this process's own; `directory` is the working directory,
    by default this process's. `stop_timeout_s` leaves time for the server to drain.
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
    """How the server stopped: its exit status, whether it had to be killed, and the processes it left behind."""

    exit_status: int
    killed: bool
    orphans: tuple[int, ...]

    @property
    def clean(self) -> bool:
        """Whether it stopped when asked, with status 0, and left no process behind."""
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
    """A context manager: inside it, the server is ready on `target`; after it, the server is gone.

    Raises `ServerStartFailed` on entry; after the exit, `stop_report` says how the server stopped.
    """

    def __init__(self, options: LocalServerOptions) -> None:
        self._options = options
        self._mark = uuid.uuid4().hex
        self._ready = threading.Event()  # set by the ready line or the end of the output
        self._target: str | None = None
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.stop_report: StopReport | None = None

    @property
    def target(self) -> str:
        """The gRPC target `HOST:PORT` that the server printed."""
        if self._target is None:
            raise RuntimeError("LocalServer is used before it is ready")
        return self._target

    def __enter__(self) -> Self:
        self._options.log_path.parent.mkdir(parents=True, exist_ok=True)
        log = self._options.log_path.open("w", encoding="utf-8")
        try:
            self._process = subprocess.Popen(
                self._options.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._options.directory,
                env={**os.environ, **self._options.environment, MARK: self._mark, "PYTHONUNBUFFERED": "1"},
                text=True,
                # Ctrl-C at the terminal reaches only this process, which then stops the server.
                start_new_session=True,
            )
        except OSError as error:
            log.close()
            raise ServerStartFailed(f"the server could not be started: {error}") from error
        self._reader = threading.Thread(
            target=self._read_output, args=(self._process, log), name="server output", daemon=True
        )
        self._reader.start()
        try:
            self._await_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _await_ready(self) -> None:
        in_time = self._ready.wait(self._options.ready_timeout_s)
        if self._target is not None:
            return
        what = "ended before it was ready" if in_time else "was not ready in time"
        if not in_time:
            what += f" ({self._options.ready_timeout_s:g} s)"
        raise ServerStartFailed(f"the server {what}; its log: {self._options.log_path}\n{self._log_tail()}")

    def _read_output(self, process: subprocess.Popen[str], log: IO[str]) -> None:
        """Keeps the output flowing into the log, so that the server never blocks on a full pipe."""
        with log, cast("IO[str]", process.stdout) as output:
            for line in output:
                log.write(line)
                log.flush()
                if match := READY_LINE.search(line):
                    self._target = match["target"]
                    self._ready.set()
        self._ready.set()

    def _stop(self) -> None:
        process, reader = self._process, self._reader
        if process is None or reader is None or self.stop_report is not None:
            return
        killed = False
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(self._options.stop_timeout_s)
        except subprocess.TimeoutExpired:
            killed = True
            process.kill()
            process.wait()
        orphans = self._kill_orphans()
        reader.join(self._options.stop_timeout_s)
        self.stop_report = StopReport(process.returncode, killed, orphans)

    def _kill_orphans(self) -> tuple[int, ...]:
        """Kills what outlives the server, after a grace period for processes that are still ending."""
        left = self._await_gone()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._await_gone()
        return tuple(left)

    def _await_gone(self) -> list[int]:
        """Waits at most `orphan_grace_s` for the server's processes to end; returns those that are left."""
        give_up_s = time.monotonic() + self._options.orphan_grace_s
        while (left := self._marked_processes()) and time.monotonic() < give_up_s:
            time.sleep(0.02)
        return left

    def _marked_processes(self) -> list[int]:
        mark = f"{MARK}={self._mark}".encode()
        found = []
        for directory in Path("/proc").iterdir():
            if not directory.name.isdigit():
                continue
            try:
                if mark in (directory / "environ").read_bytes().split(b"\0"):
                    found.append(int(directory.name))
            except OSError:  # gone by now, or another user's
                continue
        return found

    def _log_tail(self) -> str:
        lines = self._options.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  | {line}" for line in lines[-LOG_TAIL_LINES:])
