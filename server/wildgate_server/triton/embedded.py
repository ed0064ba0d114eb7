"""The embedded Triton: starts, watches and stops a tritonserver of its own on loopback.

The server gets a runtime copy of the model repository, its configs rendered for this machine (as many
instances as there are cores) and its versions linked; the repository itself is never written.
`triton_guard` stands between, so that nothing outlives the gateway, not even when that is killed.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import structlog

from wildgate_server.repository.releases import Rollout
from wildgate_server.triton import triton_guard
from wildgate_server.triton.client import ModelControl
from wildgate_server.triton.launch import (
    EmbeddedTritonConfig,
    Launch,
    TritonEndpoints,
    free_endpoints,
    lay_out,
    lay_out_models,
    server_command,
    starting_rollout,
)
from wildgate_server.triton.runtime import TritonRuntime, TritonStartError, find_triton_runtime

__all__ = ["EmbeddedTriton", "EmbeddedTritonConfig", "TritonEndpoints", "TritonStartError"]

_STARTS = 3
_PORT_TAKEN = "already in use"
_READY_POLL_S = 0.05
_READY_TIMEOUT_S = 1.0
_QUOTED_LINES = 20
# tritonserver writes these as errors on every machine without a GPU.
_HARMLESS = ("CudaDriverHelper has not been initialized", "unable to create stream for")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Server:
    """One started tritonserver: its guard, and what is to be removed when it is gone."""

    guard: asyncio.subprocess.Process
    launch: Launch


class EmbeddedTriton:
    """One tritonserver, from `start` to `stop`; an async context manager does both.

    The server runs with explicit model control: `control` opens it, and `model_rollout` goes by it. `wait` tells of
    the server's end, and a stopped one can be started again. `choose_endpoints` names the ports to try.
    """

    def __init__(
        self,
        config: EmbeddedTritonConfig,
        *,
        choose_endpoints: Callable[[], TritonEndpoints] = free_endpoints,
    ) -> None:
        self.config = config
        self._choose_endpoints = choose_endpoints
        self._server: _Server | None = None

    @property
    def endpoints(self) -> TritonEndpoints:
        """Where the running server listens. Raises RuntimeError before `start` and after `stop`."""
        return self._running().launch.endpoints

    @property
    def models(self) -> Path:
        """The running server's copy of the model repository. Raises RuntimeError like `endpoints`."""
        return self._running().launch.models

    def control(self) -> ModelControl:
        """Loads and unloads models of the running server; to be closed. Raises RuntimeError like `endpoints`."""
        launch = self._running().launch
        return ModelControl(launch.endpoints.grpc, launch.secret)

    def lay_out(self, rollout: Rollout) -> None:
        """Makes the running server's copy of the model repository follow the repository, with `rollout` in force.

        The server looks at it when it is told to load a model. Raises TritonStartError when the repository is broken,
        OSError when the copy cannot be written.
        """
        lay_out_models(self.models, self.config, rollout)

    @property
    def log_file(self) -> Path:
        """What tritonserver and its models wrote since the last start."""
        return self.config.state_directory / "tritonserver.log"

    async def __aenter__(self) -> EmbeddedTriton:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> TritonEndpoints:
        """Starts the server and returns once every model is ready.

        Raises TritonStartError, quoting the log, when the server ends or is not ready in time.
        """
        if self._server is not None:
            raise RuntimeError("the embedded Triton is running already")
        runtime = find_triton_runtime()
        try:
            async with asyncio.timeout(self.config.startup_timeout_s):
                for attempt in range(1, _STARTS + 1):
                    if await self._start_once(runtime):
                        return self.endpoints
                    _log.warning("triton_port_taken", attempt=attempt)
        except TimeoutError as error:
            await self._kill()
            message = f"Triton was not ready within {self.config.startup_timeout_s:g} s"
            raise TritonStartError(f"{message}; {self._quote_log()}") from error
        except BaseException:
            await self._kill()
            raise
        raise TritonStartError(f"Triton found its ports taken {_STARTS} times; {self._quote_log()}")

    async def stop(self) -> None:
        """Stops the server, if it runs: gracefully within `stop_timeout_s`, by force after that."""
        if self._server is None:
            return
        guard = self._server.guard
        try:
            if guard.returncode is None:
                guard.terminate()
            async with asyncio.timeout(self.config.stop_timeout_s):
                await guard.wait()
        except TimeoutError:
            _log.warning("triton_killed", stop_timeout_s=self.config.stop_timeout_s)
        finally:
            await self._kill()

    async def wait(self) -> int:
        """Waits until the server ends, by itself or by `stop`; returns its status (128 + n for signal n)."""
        return await self._running().guard.wait()

    def _running(self) -> _Server:
        if self._server is None:
            raise RuntimeError("the embedded Triton is not running")
        return self._server

    async def _kill(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        if server.guard.stdin is not None:
            server.guard.stdin.close()  # The guard takes the end of the pipe as the end of the gateway.
        await server.guard.wait()
        # Should the guard itself have been killed.
        triton_guard.clean_up(server.launch.server_id, server.launch.scratch)

    async def _start_once(self, runtime: TritonRuntime) -> bool:
        """One start on fresh ports; False when another process took one of them first."""
        self._server = server = await self._spawn(runtime)
        endpoints = server.launch.endpoints
        ready = asyncio.create_task(_until_ready(endpoints.http, server.launch.server_id), name="triton-ready")
        ended = asyncio.create_task(server.guard.wait(), name="triton-ended")
        try:
            await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ready, ended):
                task.cancel()
            await asyncio.gather(ready, ended, return_exceptions=True)
        status = server.guard.returncode
        if status is None:
            _log.info("triton_ready", grpc=endpoints.grpc, metrics=endpoints.metrics)
            return True
        await self._kill()
        if _PORT_TAKEN in self._read_log():
            return False
        raise TritonStartError(f"Triton ended with status {status} while it started; {self._quote_log()}")

    async def _spawn(self, runtime: TritonRuntime) -> _Server:
        server_id = f"wildgate-{os.getpid()}-{secrets.token_hex(4)}"
        scratch = Path(tempfile.mkdtemp(prefix=f"{server_id}-"))
        try:
            rollout = starting_rollout(self.config)
            lay_out(scratch, self.config, runtime, rollout)
            launch = Launch(scratch, server_id, self._choose_endpoints())
            command = server_command(launch, self.config, runtime, rollout)
            self.config.state_directory.mkdir(parents=True, exist_ok=True)
            if self.log_file.exists():
                self.log_file.replace(self.log_file.with_suffix(".log.1"))
            with self.log_file.open("wb") as log:
                guard = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-I", "-S", triton_guard.__file__, server_id, str(scratch), *command),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env=runtime.environment(),
                    start_new_session=True,  # Ctrl-C in a terminal is for the gateway, which then drains.
                )
        except BaseException:
            triton_guard.clean_up(server_id, scratch)
            raise
        return _Server(guard, launch)

    def _read_log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def _quote_log(self) -> str:
        lines = self._read_log().splitlines()
        # A failed start ends in pages of tables; what went wrong is in the lines of severity E.
        errors = [line for line in lines if line.startswith(("E", "error:"))]
        errors = [line for line in errors if not any(text in line for text in _HARMLESS)]
        quoted = "\n  ".join((errors or lines)[-_QUOTED_LINES:])
        return f"{self.log_file} says:\n  {quoted}"


async def _until_ready(target: str, server_id: str) -> None:
    # Another process: there is no event to wait for.
    while not await asyncio.to_thread(_is_ready, target, server_id):  # noqa: ASYNC110
        await asyncio.sleep(_READY_POLL_S)


def _is_ready(target: str, server_id: str) -> bool:
    """Whether the server at `target` is the one we started, and all its models are ready."""
    connection = http.client.HTTPConnection(target, timeout=_READY_TIMEOUT_S)
    try:
        connection.request("GET", "/v2/health/ready")
        ready = connection.getresponse()
        ready.read()
        connection.request("GET", "/v2")
        name = json.load(connection.getresponse())["name"]
        return ready.status == http.HTTPStatus.OK and name == server_id
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return False
    finally:
        connection.close()
