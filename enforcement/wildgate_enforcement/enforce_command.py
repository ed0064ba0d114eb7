"""`wildgate enforce`: reads the configuration, runs the service, stops on a signal."""

from __future__ import annotations

import asyncio
import signal
import sys
from importlib.metadata import entry_points

from pydantic import ValidationError
from pydantic_settings import SettingsError

from wildgate_enforcement.service import Console, check_settings, running
from wildgate_enforcement.settings import EnforcementSettings
from wildgate_server.errors import SettingsConflict, StartError
from wildgate_server.log import configure_log
from wildgate_server.policy import PolicyError
from wildgate_server.repository.yaml_document import faults

__all__ = ["enforce_command"]

_USAGE = 2


def enforce_command(args: list[str]) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status: 0 stopped, 1 could not start, 2 bad configuration."""
    try:
        settings = EnforcementSettings.of_command_line(args)
    except (ValidationError, SettingsError) as error:
        message = str(error) if isinstance(error, SettingsError) else "; ".join(faults(error))
        print(f"wildgate enforce: {message}", file=sys.stderr)
        return _USAGE
    configure_log(settings.log_level, settings.log_format)
    try:
        if settings.check:
            check_settings(settings)
            print("wildgate enforce: the configuration is good")
            return 0
        asyncio.run(_serve(settings))
    except (PolicyError, SettingsConflict) as error:
        print(f"wildgate enforce: {error}", file=sys.stderr)
        return _USAGE
    except StartError as error:
        print(f"wildgate enforce: cannot start: {error}", file=sys.stderr)
        return _USAGE if settings.check else 1
    return 0


async def _serve(settings: EnforcementSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running(settings, _console() if settings.console else None) as address:
        print(f"wildgate enforcement is ready on {address}", flush=True)
        await stop.wait()


def _console() -> Console:
    """What serves the console, which stands above this package. Raises SettingsConflict where it is not installed."""
    found = entry_points(group="wildgate.enforcement", name="console")
    try:
        console: Console = next(iter(found)).load()
    except (StopIteration, ImportError) as error:
        raise SettingsConflict(f"console: `pip install 'wildgate[console]'` is missing here ({error})") from error
    return console
