"""The whole service: database, gRPC server, outbox, head signing and retention, from start to stop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress

import grpc
import structlog
from grpc_health.v1 import health_pb2_grpc
from sqlalchemy import text

from wildgate_client import ClientOptions
from wildgate_enforcement.case_service import CaseService
from wildgate_enforcement.database import Database
from wildgate_enforcement.errors import StartError, StorageUnavailable
from wildgate_enforcement.figures import Figures
from wildgate_enforcement.head_signing import HeadSigner, signing_key
from wildgate_enforcement.outbox import Outbox, Send
from wildgate_enforcement.platform_notices import platform_senders
from wildgate_enforcement.policy import EnforcementPolicy
from wildgate_enforcement.referral_packages import referral_sender
from wildgate_enforcement.report_service import ReportService
from wildgate_enforcement.requests import FieldCheck
from wildgate_enforcement.retention import Retention
from wildgate_enforcement.roles import CALLS, CASE_SERVICE, REPORT_SERVICE
from wildgate_enforcement.senders import block_sender, score_sender
from wildgate_enforcement.settings import EnforcementSettings
from wildgate_proto.v1.cases_pb2_grpc import add_CaseServiceServicer_to_server, add_ReportServiceServicer_to_server
from wildgate_server.access.access_interceptor import AccessInterceptor
from wildgate_server.access.tokens import Caller, TokenCheck, token_check
from wildgate_server.call_metrics import CallMetrics
from wildgate_server.errors import SettingsConflict
from wildgate_server.interceptor import ErrorInterceptor
from wildgate_server.monitoring import monitoring
from wildgate_server.owned_task import own_task
from wildgate_server.policy import load_policy
from wildgate_server.readiness import Readiness
from wildgate_server.server_metrics import ServerMetrics
from wildgate_server.transport import Channel, check_reach, listen

__all__ = ["Console", "Denied", "check_settings", "denial_log", "enforcement_server", "running"]

Denied = Callable[[Caller, str], Awaitable[None]]
"""Told of each call that a known caller may not make."""
Console = Callable[[EnforcementSettings, Database, TokenCheck, Denied], AbstractAsyncContextManager[str]]
"""Serves people in a browser, over the same database, while its context lasts; gives its address."""

_log = structlog.get_logger()

_DRAIN_S = 10.0


@asynccontextmanager
async def running(settings: EnforcementSettings, console: Console | None = None) -> AsyncIterator[str]:
    """The service while the context lasts, and the console beside it: the address at which the service answers.

    Raises StartError, and PolicyError for the file of labels.
    """
    check, labels = check_settings(settings)
    try:
        settings.directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"the directory cannot be used: {error}") from error
    key = signing_key(settings.directory / "log-key.pem")
    async with AsyncExitStack() as stack:
        database = Database(settings.database_url)
        stack.push_async_callback(database.close)
        await database.migrate()
        signer = HeadSigner(database, key, settings.sign_every_s)
        outbox = Outbox(database, await _senders(settings, database, stack), settings.delivery)
        retention = Retention(database, settings.evidence_days)
        metrics = ServerMetrics()
        figures = Figures(database, metrics)
        server = enforcement_server(
            database,
            settings.policy,
            check,
            labels,
            recipients=settings.referral.recipients,
            max_in_flight=settings.max_in_flight,
            max_bytes=settings.max_bytes,
            metrics=metrics,
        )
        readiness = Readiness((CASE_SERVICE, REPORT_SERVICE), lambda: _answers(database))
        health_pb2_grpc.add_HealthServicer_to_server(readiness.servicer, server)
        monitored = monitoring(settings.metrics, metrics, lambda: readiness.serving)
        await stack.enter_async_context(monitored)
        address = listen(server, settings.listen, settings.tls)
        stack.push_async_callback(_sign_the_end, signer)
        watches = {
            "outbox": outbox.run,
            "head_signer": signer.run,
            "retention": retention.run,
            "figures": figures.run,
        }
        for name, watch in watches.items():
            own_task(stack, name, readiness.depend_on(watch, name))
        own_task(stack, "readiness", readiness.watch())
        await readiness.update()
        await server.start()
        stack.push_async_callback(server.stop, _DRAIN_S)
        stack.push_async_callback(readiness.drain)
        if console:
            await stack.enter_async_context(console(settings, database, check, denial_log(database)))
        yield address


def check_settings(settings: EnforcementSettings) -> tuple[TokenCheck, Collection[str]]:
    """Keys and labels that the settings name, with nothing started. Raises StartError and PolicyError."""
    if (check := token_check(settings.access)) is None:
        raise SettingsConflict("access.keys is not set: cases are not for everybody")
    check_reach(settings.listen, settings.tls)
    return check, load_policy(settings.labels).labels


def enforcement_server(
    database: Database,
    policy: EnforcementPolicy,
    check: TokenCheck,
    labels: Collection[str],
    *,
    recipients: Collection[str] = (),
    draw: Callable[[], float] | None = None,
    max_in_flight: int = 200,
    max_bytes: int = 32 << 20,
    metrics: ServerMetrics | None = None,
) -> grpc.aio.Server:
    """The server with both services, not listening yet. `draw` gives numbers from 0 to 1, random ones by default."""
    server = grpc.aio.server(
        interceptors=[
            CallMetrics(metrics or ServerMetrics()),
            AccessInterceptor(check, CALLS, denial_log(database)),
            ErrorInterceptor(CASE_SERVICE, REPORT_SERVICE),
            FieldCheck(),
        ],
        maximum_concurrent_rpcs=max_in_flight,
        options=[
            ("grpc.max_receive_message_length", max_bytes),
            ("grpc.per_message_decompression", 0),  # 127 KB may be 128 MB
            ("grpc.so_reuseport", 0),
        ],
    )
    cases = CaseService(database, policy, recipients, draw)
    add_CaseServiceServicer_to_server(cases, server)  # type: ignore[no-untyped-call]
    reports = ReportService(database, policy, labels)
    add_ReportServiceServicer_to_server(reports, server)  # type: ignore[no-untyped-call]
    return server


def denial_log(database: Database) -> Denied:
    """Makes an event of each call that was denied."""

    async def denied(caller: Caller, call: str) -> None:
        try:
            async with database.writing(caller.subject) as transaction:
                transaction.log("", "denied", call=call, roles=sorted(caller.roles))
        except StorageUnavailable as error:
            _log.error("denial_not_logged", call=call, subject=caller.subject, error=error.message)

    return denied


async def _senders(settings: EnforcementSettings, database: Database, stack: AsyncExitStack) -> Mapping[str, Send]:
    """Who tells what; kinds without a target wait until there is one."""
    options = ClientOptions(token_file=settings.token_file)
    senders = dict(platform_senders(settings.platform))
    if make_package := referral_sender(settings.referral, database, settings.directory, settings.delivery.attempts):
        senders["referral"] = make_package
    if settings.blocks:
        blocks = Channel(settings.blocks, settings.client_tls)
        stack.push_async_callback(blocks.close)
        senders["block"] = block_sender(database, lambda: blocks.now, options.call_metadata)
    if settings.gateway:
        gateway = Channel(settings.gateway, settings.client_tls, options.channel_options())
        stack.push_async_callback(gateway.close)
        senders["score"] = score_sender(database, lambda: gateway.now, options.call_metadata, settings.policy)
    return senders


async def _sign_the_end(signer: HeadSigner) -> None:
    with suppress(StorageUnavailable):
        await signer.sign()


async def _answers(database: Database) -> bool:
    async with database.reading() as session:
        return bool(await session.scalar(text("SELECT 1")))
