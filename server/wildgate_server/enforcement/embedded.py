"""An enforcement service of the gateway's own, in one box with it: `wildgate serve --enforcement DIRECTORY`.

It is a process of its own all the same: what it does with its database takes no time from answers.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic

import structlog

from wildgate_server.enforcement.enforcement_settings import EnforcementSettings
from wildgate_server.errors import StartError

__all__ = ["EmbeddedEnforcement", "embedded_enforcement"]

_log = structlog.get_logger()

_PREFIX = "WILDGATE_ENFORCE__"
_START_S, _STOP_S = 60.0, 20.0
_FIRST_PAUSE_S, _MAX_PAUSE_S, _STEADY_S = 1.0, 30.0, 60.0  # who ran for longer did not fail at its start
# It does not outlive the gateway, however that ends, and stops as it should: signed to the end. It sees to that itself:
# what is done between fork and exec stops the gateway's event loop for as long, and may hang where there are threads.
_PROGRAM = (
    f"from wildgate_server.box import die_with_parent; die_with_parent({int(signal.SIGTERM)}); "
    "from wildgate_client.cli import main; main()"
)
_COMMAND = (sys.executable, "-c", _PROGRAM, "enforce")


class EmbeddedEnforcement:
    """`wildgate enforce` in a directory; what is set for it in the environment holds."""

    def __init__(self, settings: EnforcementSettings, gateway: str, *, blocks: bool) -> None:
        self._command = (*_COMMAND, "--directory", str(settings.directory), "--listen", settings.listen)
        own = {f"{_PREFIX}GATEWAY": gateway} | ({f"{_PREFIX}BLOCKS": gateway} if blocks else {})
        self._environment = own | os.environ
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns once it answers. Raises StartError."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdout=asyncio.subprocess.PIPE,
            env=self._environment,
        )
        assert self._process.stdout
        try:
            async with asyncio.timeout(_START_S):
                if await self._process.stdout.readline():
                    return
                status = await self._process.wait()
        except TimeoutError:
            raise StartError(f"the enforcement service was not ready within {_START_S:g} s") from None
        raise StartError(f"the enforcement service ended with status {status} while it started; it said why above")

    async def run(self) -> None:
        """Starts it again whenever it ends, less and less soon; cases are kept on disk meanwhile.

        Runs until it is cancelled.
        """
        pause_s = _FIRST_PAUSE_S
        while True:
            assert self._process
            since_s = monotonic()
            status = await self._process.wait()
            if monotonic() - since_s > _STEADY_S:
                pause_s = _FIRST_PAUSE_S
            _log.error("enforcement_ended", status=status, next_try_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _MAX_PAUSE_S)
            try:
                await self.start()
            except (StartError, OSError) as error:
                _log.error("enforcement_not_started", error=str(error))
                await self.stop()

    async def stop(self) -> None:
        """Stops it, by force where it takes too long."""
        if self._process is None or self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self._process.terminate()
            try:
                async with asyncio.timeout(_STOP_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()


@asynccontextmanager
async def embedded_enforcement(
    settings: EnforcementSettings, gateway: str, *, blocks: bool
) -> AsyncIterator[EmbeddedEnforcement]:
    """The service while the context lasts; `blocks`: the gateway at `gateway` has a list of them. Raises StartError."""
    service = EmbeddedEnforcement(settings, gateway, blocks=blocks)
    try:
        await service.start()
        yield service
    finally:
        await service.stop()
