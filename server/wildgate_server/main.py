"""`wildgate serve`: reads the configuration, runs the gateway, stops on a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from pydantic import ValidationError
from pydantic_settings import SettingsError

from wildgate_server.allocator import keep_freed_memory
from wildgate_server.errors import SettingsConflict, StartError
from wildgate_server.gateway import run_gateway
from wildgate_server.log import configure_log
from wildgate_server.policy import PolicyError
from wildgate_server.repository.engine_key import EngineDoesNotFit
from wildgate_server.repository.manifest import ManifestError
from wildgate_server.repository.yaml_document import faults
from wildgate_server.settings import ServerSettings

__all__ = ["serve_command"]

_USAGE = 2


def serve_command(args: list[str]) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status.

    0 stopped, 1 could not start or lost its embedded Triton too often (`backend.restarts`), 2 bad configuration.

    The first signal drains, the second one exits at once. SIGHUP reads the policy file and the rollout again.
    """
    try:
        settings = ServerSettings.of_command_line(args)
    except (ValidationError, SettingsError) as error:
        message = str(error) if isinstance(error, SettingsError) else "; ".join(faults(error))
        print(f"wildgate serve: {message}", file=sys.stderr)
        return _USAGE
    configure_log(settings.log_level)
    keep_freed_memory()
    try:
        return asyncio.run(_serve(settings))
    except (SettingsConflict, ManifestError, PolicyError, EngineDoesNotFit) as error:
        print(f"wildgate serve: {error}", file=sys.stderr)
        return _USAGE
    except StartError as error:
        print(f"wildgate serve: cannot start: {error}", file=sys.stderr)
        return 1


async def _serve(settings: ServerSettings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    starting = asyncio.current_task()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)  # asked twice: no more waiting; guard and workers see the gateway go and end themselves
        stop.set()
        if starting:
            starting.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # there is nothing to replace yet
    try:
        async with run_gateway(settings) as gateway:
            starting = None
            loop.add_signal_handler(signal.SIGHUP, gateway.reload)
            print(f"wildgate is ready on {gateway.address}", flush=True)
            waits = [asyncio.create_task(event.wait()) for event in (stop, gateway.backend_ended)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            await gateway.drain()
            return 0 if stop.is_set() else 1
    except asyncio.CancelledError:
        if stop.is_set():
            return 0  # stopped while it started
        raise
