"""The embedded Triton: starts, watches and stops a tritonserver of its own, which only this user can reach.

The server gets a runtime copy of the model repository, its configs rendered for this machine (as many
instances as there are cores) and its versions linked; the repository itself is never written.
`triton_guard` stands between, so that nothing outlives the gateway, not even when that is killed.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import pickle
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Self

import structlog

from wildgate_server.box import UNBOXED, Box, held
from wildgate_server.cores import available_cores
from wildgate_server.repository.manifest import ModelManifest, load_manifest
from wildgate_server.repository.releases import Rollout, load_rollout
from wildgate_server.triton import triton_guard
from wildgate_server.triton.backend_settings import BackendSettings
from wildgate_server.triton.launch import (
    STOP_TIMEOUT_S,
    Launch,
    TritonEndpoints,
    free_address,
    lay_out_models,
    server_command,
)
from wildgate_server.triton.model_control import ModelControl
from wildgate_server.triton.runtime import TritonRuntime, TritonStartError, find_triton_runtime
from wildgate_server.triton.shared_memory import free_shared_memory, has_own_shared_memory, is_roomy

__all__ = ["EmbeddedTriton", "TritonEndpoints", "TritonStartError"]

_STARTS = 3
# What may end one start and not the next: Triton's Python backend now and then loses its own lock on shared memory.
_PASSING = {"already in use": "a port was taken", "interprocess::lock_exception": "it lost a lock of its own"}
_READY_POLL_S = 0.05
_READY_TIMEOUT_S = 1.0
_END_TIMEOUT_S = 5.0
_LONGEST_SOCKET = 107  # bytes of its path, unix(7)
_QUOTED_LINES = 20
_DEFAULT_ROWS_IN_FLIGHT = 32  # of the gateway's default settings
# tritonserver writes these as errors on every machine without a GPU.
_HARMLESS = ("CudaDriverHelper has not been initialized", "unable to create stream for")

_log = structlog.get_logger(__name__)


class EmbeddedTriton:
    """One tritonserver, with explicit model control, that runs as long as an async context lasts.

    `rollout` says what is loaded at the start, by default what the repository says; `rows_in_flight` is how many rows
    one ensemble may be asked for at once; the server and its models run in `box`; it sends spans to `spans_to` (OTLP
    over HTTP); `choose_address` names where to try to have its metrics. Entering returns once every model is ready; it
    raises TritonStartError, quoting the log, when the server ends or is not ready in time, and ManifestError when the
    repository is broken.

    `endpoints` are where it listens, `models` is its copy of the model repository, and `control` loads and unloads its
    models. `log_file` has what tritonserver and its models wrote since the last start; the log before lies beside it.
    """

    endpoints: TritonEndpoints
    models: Path
    control: ModelControl
    _guard: asyncio.subprocess.Process

    def __init__(
        self,
        settings: BackendSettings,
        rollout: Rollout | None = None,
        *,
        rows_in_flight: int = _DEFAULT_ROWS_IN_FLIGHT,
        box: Box = UNBOXED,
        spans_to: str | None = None,
        choose_address: Callable[[], str] = free_address,
    ) -> None:
        self._settings = settings
        self._rollout = rollout
        self._rows_in_flight = rows_in_flight
        self._box = box
        self._spans_to = spans_to
        self._log_dir = settings.log_dir or Path(tempfile.mkdtemp(prefix="wildgate-log-"))
        self.log_file = self._log_dir / "tritonserver.log"
        self._choose_address = choose_address
        self._ending = AsyncExitStack()

    async def __aenter__(self) -> Self:
        # First: a directory without it is no repository.
        manifest = await asyncio.to_thread(load_manifest, self._settings.model_repository)
        runtime = await asyncio.to_thread(find_triton_runtime)
        try:
            async with asyncio.timeout(self._settings.startup_timeout_s), AsyncExitStack() as ending:
                for attempt in range(1, _STARTS + 1):
                    launch, guard = await self._spawn(runtime)
                    ending.push_async_callback(_end, launch, guard)
                    if control := await _ready_or_ended(launch, guard):
                        self.endpoints, self.models, self._guard = launch.endpoints, launch.models, guard
                        self.control = control
                        ending.push_async_callback(control.close)
                        _log.info(
                            "triton_ready",
                            grpc=self.endpoints.grpc,
                            metrics=self.endpoints.metrics,
                            own_shared_memory=has_own_shared_memory(guard.pid),
                            **await asyncio.to_thread(held, await asyncio.to_thread(_server_of, guard)),
                        )
                        self._check_shared_memory(manifest)
                        self._ending = ending.pop_all()
                        return self
                    log = await asyncio.to_thread(self._read_log)
                    reason = next((reason for text, reason in _PASSING.items() if text in log), None)
                    if reason is None or attempt == _STARTS:
                        ended = f"Triton ended with status {guard.returncode} while it started"
                        tries = "" if reason is None else f", at each of {_STARTS} tries ({reason})"
                        raise TritonStartError(f"{ended}{tries}; {self._quote_log()}")
                    _log.warning("triton_starts_again", attempt=attempt, reason=reason)
        except TimeoutError as error:
            message = f"Triton was not ready within {self._settings.startup_timeout_s:g} s"
            raise TritonStartError(f"{message}; {self._quote_log()}") from error
        raise AssertionError("the last try returns or raises")

    async def __aexit__(self, *_: object) -> None:
        """Stops the server: gracefully within `STOP_TIMEOUT_S`, by force after that."""
        async with self._ending:
            if self._guard.returncode is None:
                self._guard.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._guard.wait()
            except TimeoutError:
                _log.warning("triton_killed", stop_timeout_s=STOP_TIMEOUT_S)
        if self._settings.log_dir is None and self._guard.returncode == 0:  # else there is something to be read
            shutil.rmtree(self._log_dir, ignore_errors=True)

    def lay_out(self, rollout: Rollout) -> None:
        """Makes the running server's copy of the model repository follow the repository, with `rollout` in force.

        The server looks at it when it is told to load a model. Raises ManifestError when the repository is broken,
        OSError when the copy cannot be written.
        """
        lay_out_models(self.models, self._settings, rollout)

    async def wait(self) -> int:
        """Waits until the server ends, by itself or with the context; returns its status (128 + n for signal n)."""
        return await self._guard.wait()

    def peopled(self) -> set[str]:
        """The models that have processes. Looks at all processes; raises FileNotFoundError when the server has gone."""
        lines = triton_guard.processes_of(self.models.parent).values()
        return {
            model.name for model in self.models.iterdir() if any(os.fsencode(f"{model}/") in line for line in lines)
        }

    def kill(self) -> None:
        """Ends a server that hangs, by force."""
        if self._guard.returncode is None:
            self._guard.kill()  # the server goes with its guard

    @property
    def free_shared_memory(self) -> int:
        """Bytes of /dev/shm that the server can still have, 0 when it has ended."""
        try:
            return free_shared_memory(self._guard.pid)
        except OSError:
            return 0

    def _check_shared_memory(self, manifest: ModelManifest) -> None:
        free = self.free_shared_memory
        roomy, needed = is_roomy(free, manifest.with_instances(self._settings.instances or available_cores()))
        if not roomy:
            _log.warning("shared_memory_is_short", free_mb=free >> 20, full_batches_need_mb=needed >> 20)

    async def _spawn(self, runtime: TritonRuntime) -> tuple[Launch, asyncio.subprocess.Process]:
        """Starts a server on fresh ports, behind its guard."""
        server_id = f"wildgate-{os.getpid()}-{secrets.token_hex(4)}"
        scratch = Path(tempfile.mkdtemp(prefix=f"{server_id}-"))
        try:
            rollout = self._rollout
            if rollout is None:
                rollout = await asyncio.to_thread(load_rollout, self._settings.model_repository)
            launch = Launch(scratch, server_id, self._choose_address(), rollout, self._rows_in_flight, self._spans_to)
            command = await asyncio.to_thread(self._prepare, launch, runtime)
            with self.log_file.open("wb") as log:
                guard = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-I", "-S", triton_guard.__file__, server_id, str(launch.scratch), *command),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env=runtime.environment(),
                    start_new_session=True,  # Ctrl-C in a terminal is for the gateway, which then drains.
                )
        except BaseException:
            await asyncio.to_thread(triton_guard.clean_up, server_id, scratch)
            raise
        return launch, guard

    def _prepare(self, launch: Launch, runtime: TritonRuntime) -> list[str]:
        """Writes what a server needs, and moves the last one's log aside; returns its command."""
        scratch = launch.scratch
        if len(os.fsencode(launch.socket)) > _LONGEST_SOCKET:
            raise TritonStartError(f"{scratch}: too long a path for a socket; name a shorter directory by TMPDIR")
        lay_out_models(launch.models, self._settings, launch.rollout)
        runtime.assemble_backends(launch.backends)
        (scratch / triton_guard.BOX_FILE).write_bytes(pickle.dumps(self._box))
        if self._box.user:
            os.chown(scratch, *self._box.user)
        self._log_dir.mkdir(parents=True, exist_ok=True)
        if self.log_file.exists():
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        return server_command(launch, self._settings, runtime)

    def _read_log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def _quote_log(self) -> str:
        lines = self._read_log().splitlines()
        # A failed start ends in pages of tables; what went wrong is in the lines of severity E.
        errors = [line for line in lines if line.startswith(("E", "error:"))]
        errors = [line for line in errors if not any(text in line for text in _HARMLESS)]
        quoted = "\n  ".join((errors or lines)[-_QUOTED_LINES:])
        return f"{self.log_file} says:\n  {quoted}"


async def _end(launch: Launch, guard: asyncio.subprocess.Process) -> None:
    if guard.stdin is not None:
        guard.stdin.close()  # The guard takes the end of the pipe as the end of the gateway.
    try:
        async with asyncio.timeout(_END_TIMEOUT_S):
            await guard.wait()
    except TimeoutError:  # it has been stopped
        guard.kill()
        await guard.wait()
    await asyncio.to_thread(triton_guard.clean_up, launch.server_id, launch.scratch)  # should it have been killed


async def _ready_or_ended(launch: Launch, guard: asyncio.subprocess.Process) -> ModelControl | None:
    """The control of a server that is ready, None for one that has ended."""
    async with AsyncExitStack() as ending:
        control = ModelControl(launch.endpoints.grpc)
        ending.push_async_callback(control.close)
        while guard.returncode is None:
            # gRPC would not try again for a while where there is no socket yet.
            if (
                launch.socket.exists()
                and await control.server_ready()
                and await asyncio.to_thread(_tells_metrics, launch.metrics)
            ):
                ending.pop_all()
                return control
            with suppress(TimeoutError):
                async with asyncio.timeout(_READY_POLL_S):
                    await guard.wait()
    return None


def _tells_metrics(address: str) -> bool:
    """Whether metrics can be had, the last thing that a server starts; it ends where it does not get the port."""
    connection = http.client.HTTPConnection(address, timeout=_READY_TIMEOUT_S)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _server_of(guard: asyncio.subprocess.Process) -> int:
    """The process behind the guard, which alone is in the box; the guard itself where that cannot be told."""
    with suppress(OSError, ValueError):
        return int(Path(f"/proc/{guard.pid}/task/{guard.pid}/children").read_text().split()[0])
    return guard.pid
