"""`wildgate serve`: reads the configuration, runs the gateway, stops on a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import structlog
from pydantic import ValidationError
from pydantic_settings import SettingsError

from wildgate_server.allocator import keep_freed_memory
from wildgate_server.drift import Drift
from wildgate_server.errors import SettingsConflict, StartError
from wildgate_server.gateway import Gateway, check_settings, run_gateway
from wildgate_server.log import configure_log, set_level
from wildgate_server.policy import PolicyError
from wildgate_server.repository.engine_key import EngineDoesNotFit
from wildgate_server.repository.manifest import ManifestError
from wildgate_server.repository.yaml_document import faults
from wildgate_server.settings import ServerSettings

__all__ = ["serve_command"]

_log = structlog.get_logger()

_USAGE = 2
_SOON_S = 3.0  # what takes no longer need not be told


def serve_command(args: list[str]) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status.

    0 stopped, 1 could not start or lost its embedded Triton too often (`backend.restarts`), 2 bad configuration.

    The first signal drains, the second one exits at once. SIGHUP reads the log's level, the policy file and the rollout
    again.
    """
    try:
        settings = ServerSettings.of_command_line(args)
    except (ValidationError, SettingsError) as error:
        print(f"wildgate serve: {_words(error)}", file=sys.stderr)
        return _USAGE
    configure_log(settings.log_level, settings.log_format)
    keep_freed_memory()
    try:
        if settings.check:
            check_settings(settings)
            Drift(settings.drift)
            print("wildgate serve: the configuration is good")
            return 0
        return asyncio.run(_serve(settings, args))
    except (SettingsConflict, ManifestError, PolicyError, EngineDoesNotFit) as error:
        print(f"wildgate serve: {error}", file=sys.stderr)
        return _USAGE
    except StartError as error:
        print(f"wildgate serve: cannot start: {error}", file=sys.stderr)
        return _USAGE if settings.check else 1


def _words(error: ValidationError | SettingsError) -> str:
    return str(error) if isinstance(error, SettingsError) else "; ".join(faults(error))


def _read_level_again(args: list[str]) -> None:
    try:
        level = ServerSettings.of_command_line(args).log_level
    except (ValidationError, SettingsError) as error:
        _log.error("settings_refused", error=_words(error))
        return
    set_level(level)
    _log.info("log_level", least=level)


async def _tell_when_ready(gateway: Gateway) -> None:
    try:
        async with asyncio.timeout(_SOON_S):
            await gateway.readiness.served.wait()
    except TimeoutError:
        print(f"wildgate listens on {gateway.address}, and waits for Triton", flush=True)
        await gateway.readiness.served.wait()
    print(f"wildgate is ready on {gateway.address}", flush=True)


async def _serve(settings: ServerSettings, args: list[str]) -> int:
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

            def reload() -> None:
                _read_level_again(args)
                gateway.reload()

            loop.add_signal_handler(signal.SIGHUP, reload)
            ends = [asyncio.create_task(event.wait()) for event in (stop, gateway.backend_ended)]
            telling = asyncio.create_task(_tell_when_ready(gateway))
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in (*ends, telling):
                task.cancel()
            await gateway.drain()
            return 0 if stop.is_set() else 1
    except asyncio.CancelledError:
        if stop.is_set():
            return 0  # stopped while it started
        raise
