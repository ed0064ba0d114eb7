"""`wildgate blocks serve`: the list of blocks by itself, for a fleet of gateways that follow it."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict, SettingsError

from wildgate_server.access.access_interceptor import GATEWAY_CALLS, AccessInterceptor
from wildgate_server.access.access_settings import AccessSettings
from wildgate_server.access.tokens import token_check
from wildgate_server.admission import AdmissionSettings
from wildgate_server.blocks.block_service import BLOCK_SERVICE, BlockService
from wildgate_server.blocks.blocks_settings import BlocksSettings
from wildgate_server.blocks.setup import known_blocks
from wildgate_server.command_line import CommandSettings
from wildgate_server.config_section import HostPort
from wildgate_server.endpoint import grpc_server
from wildgate_server.errors import SettingsConflict, StartError
from wildgate_server.log import configure_log
from wildgate_server.monitoring import monitoring
from wildgate_server.readiness import Readiness
from wildgate_server.repository.yaml_document import faults
from wildgate_server.server_metrics import ServerMetrics
from wildgate_server.transport import ServerTls, check_reach, listen

__all__ = ["BlockServiceSettings", "blocks_serve_command"]

_USAGE = 2
_MAX_REQUEST_BYTES = 64 << 20
_ENDING_S = 1.0


class BlockServiceSettings(CommandSettings):
    """Keeps the list of blocks for a fleet."""

    model_config = SettingsConfigDict(env_prefix="WILDGATE_BLOCKS__", cli_prog_name="wildgate blocks serve")

    directory: Path
    """Where the list is kept."""
    listen: HostPort = "127.0.0.1:8101"
    """gRPC address; port 0 takes a free one."""
    tls: ServerTls = ServerTls()
    access: AccessSettings = AccessSettings()
    metrics: HostPort | None = None
    """Where metrics, liveness and readiness are served over HTTP; nowhere by default."""


def blocks_serve_command(args: list[str]) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status: 0 stopped, 1 could not start, 2 bad configuration."""
    try:
        settings = BlockServiceSettings.of_command_line(args)
    except (ValidationError, SettingsError) as error:
        message = str(error) if isinstance(error, SettingsError) else "; ".join(faults(error))
        print(f"wildgate blocks serve: {message}", file=sys.stderr)
        return _USAGE
    configure_log(settings.log_level, settings.log_format)
    try:
        if settings.check:
            token_check(settings.access, settings.listen)
            check_reach(settings.listen, settings.tls)
            print("wildgate blocks serve: the configuration is good")
            return 0
        asyncio.run(_serve(settings))
    except SettingsConflict as error:
        print(f"wildgate blocks serve: {error}", file=sys.stderr)
        return _USAGE
    except StartError as error:
        print(f"wildgate blocks serve: cannot start: {error}", file=sys.stderr)
        return _USAGE if settings.check else 1
    return 0


async def _serve(settings: BlockServiceSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    metrics = ServerMetrics()
    async with AsyncExitStack() as stack:
        known = await stack.enter_async_context(known_blocks(BlocksSettings(directory=settings.directory), metrics))
        assert known is not None  # it has a directory
        readiness = Readiness((BLOCK_SERVICE,), _ready)
        check = token_check(settings.access, settings.listen)
        server = grpc_server(
            None,
            readiness,
            metrics=metrics,
            access=AccessInterceptor(check, GATEWAY_CALLS) if check else None,
            blocks=BlockService(known.list),
            limits=AdmissionSettings(),
            max_video_bytes=_MAX_REQUEST_BYTES,
        )
        await stack.enter_async_context(monitoring(settings.metrics, metrics, lambda: readiness.serving))
        address = listen(server, settings.listen, settings.tls)
        await readiness.update()
        await server.start()
        stack.push_async_callback(server.stop, _ENDING_S)
        print(f"wildgate blocks are served on {address}", flush=True)
        await stop.wait()
        await readiness.drain()


async def _ready() -> bool:
    return True  # it listens once the list is loaded, and lookups need nothing else
