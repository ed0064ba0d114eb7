"""A `wildgate serve` in processes of its own, for as long as something is measured on it."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from wildgate_perf.cpu_time import CpuTimes, marked_processes, read_cpu_times
from wildgate_perf.local_server import LocalServer, LocalServerOptions
from wildgate_perf.server_parts import free_address

_ROOT = Path(__file__).resolve().parents[2]
MODEL_REPOSITORY = _ROOT / "model_repository"
"""The repository that is served unless the settings name another."""

_MARK = "WILDGATE_MARK"
COMMAND: Sequence[str] = (sys.executable, "-m", "wildgate_server")
"""What is run unless another command is given."""


class ServerStoppedBadly(Exception):
    """The server did not stop when it was asked, or left processes behind; the text says how, and names its log."""


@dataclass(frozen=True)
class ServerProcess:
    """A running server, by its gRPC target; `mark` is in the environment of all its processes.

    `metrics` is HOST:PORT of its metrics.
    """

    target: str
    mark: str
    metrics: str

    def processes(self) -> list[psutil.Process]:
        """Those that live."""
        return marked_processes(_MARK, self.mark)

    def cpu_times(self) -> CpuTimes:
        """Processor time that its processes (gateway, sampling workers, Triton and its stubs) have used, by kind."""
        return read_cpu_times(self.processes())


@contextmanager
def serving(*, log_folder: Path | None = None, **settings: object) -> Iterator[ServerProcess]:
    """Runs `wildgate serve` on free loopback ports until the context ends; yields when it is ready.

    `settings` are the server's own, sections and fields joined by two underscores: `sampling__workers=2`,
    `backend__target="host:port"` (without that, an embedded Triton is started along), `source__file_roots=[folder]`.
    Logs stay in `log_folder` (by default a new temporary one).

    Raises wildgate_perf.local_server.ServerStartFailed, which quotes the log, and ServerStoppedBadly.
    """
    with running(settings, log_folder or Path(tempfile.mkdtemp(prefix="wildgate-perf-"))) as server:
        yield server


@contextmanager
def running(
    settings: Mapping[str, object],
    log_folder: Path,
    command: Sequence[str] = COMMAND,
    environment: Mapping[str, str] | None = None,
) -> Iterator[ServerProcess]:
    """As `serving`, by another command, or with more in its environment."""
    mark = uuid.uuid4().hex
    given = {
        "backend__model_repository": MODEL_REPOSITORY,
        "backend__log_dir": log_folder / "triton",
        "endpoint__address": "127.0.0.1:0",
        "endpoint__metrics": free_address(),
        **settings,
    }
    metrics = str(given["endpoint__metrics"])
    log, whole = log_folder / "server.log", {**(environment or {}), **settings_environment(given), _MARK: mark}
    with LocalServer(LocalServerOptions(log_path=log, command=command, environment=whole)) as server:
        yield ServerProcess(server.target, mark, metrics)
    if server.stop_report and not server.stop_report.clean:
        raise ServerStoppedBadly(f"{server.stop_report}; its log: {log}")


def settings_environment(settings: dict[str, object]) -> dict[str, str]:
    """Settings as the environment variables the server reads; None leaves one at its default."""
    return {f"WILDGATE_{name.upper()}": _text(value) for name, value in settings.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    return json.dumps(value, default=os.fspath)
