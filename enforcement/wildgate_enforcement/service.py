"""The whole service: database, gRPC server, outbox and head signing, from start to stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc
from sqlalchemy import text

from wildgate_enforcement.case_service import CaseService
from wildgate_enforcement.database import Database
from wildgate_enforcement.guard import CASE_SERVICE, REPORT_SERVICE, Guard
from wildgate_enforcement.head_signing import HeadSigner, signing_key
from wildgate_enforcement.outbox import Outbox, Send
from wildgate_enforcement.report_service import ReportService
from wildgate_enforcement.retention import Retention
from wildgate_enforcement.roles import TokenCheck
from wildgate_enforcement.senders import block_sender, score_sender
from wildgate_enforcement.settings import EnforcementSettings
from wildgate_proto.v1.cases_pb2_grpc import add_CaseServiceServicer_to_server, add_ReportServiceServicer_to_server
from wildgate_server.endpoint import listen
from wildgate_server.errors import StartError
from wildgate_server.interceptor import ErrorInterceptor
from wildgate_server.policy import load_policy
from wildgate_server.readiness import Readiness

__all__ = ["running"]

_DRAIN_S = 10.0


@asynccontextmanager
async def running(
    settings: EnforcementSettings, check: TokenCheck, senders: Mapping[str, Send], recipients: Collection[str] = ()
) -> AsyncIterator[str]:
    """The address at which the service answers as long as the context lasts; `senders` are those besides its own.

    Raises StartError, and PolicyError for the file of labels.
    """
    reasons = load_policy(settings.labels).labels
    try:
        settings.directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"the directory cannot be used: {error}") from error
    async with AsyncExitStack() as stack:
        database = Database(settings.database_url)
        stack.push_async_callback(database.close)
        await database.migrate()
        signer = HeadSigner(database, signing_key(settings.directory / "log-key.pem"), settings.sign_every_s)
        all_senders = dict(senders)
        if settings.blocks:
            all_senders["block"] = block_sender(database, await _channel(stack, settings.blocks), settings.token)
        if settings.gateway:
            channel = await _channel(stack, settings.gateway)
            all_senders["score"] = score_sender(database, channel, settings.policy, settings.token)
        readiness = Readiness((CASE_SERVICE, REPORT_SERVICE), lambda: _answers(database))
        server = grpc.aio.server(
            interceptors=[ErrorInterceptor(CASE_SERVICE, REPORT_SERVICE), Guard(check, database)],
            maximum_concurrent_rpcs=settings.max_in_flight,
            options=[("grpc.max_receive_message_length", settings.max_message_bytes), ("grpc.so_reuseport", 0)],
        )
        cases = CaseService(database, settings.policy, recipients)
        add_CaseServiceServicer_to_server(cases, server)  # type: ignore[no-untyped-call]
        reports = ReportService(database, settings.policy, reasons)
        add_ReportServiceServicer_to_server(reports, server)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(readiness.servicer, server)
        address = listen(server, settings.listen)
        outbox = Outbox(database, all_senders, settings.delivery)
        stack.push_async_callback(signer.sign)
        retention = Retention(database, settings.evidence_days)
        for name, watch in (("outbox", outbox.run), ("head_signer", signer.run), ("retention", retention.run)):
            _own(stack, name, readiness.depend_on(watch, name))
        _own(stack, "readiness", readiness.watch())
        await readiness.update()
        await server.start()
        stack.push_async_callback(server.stop, _DRAIN_S)
        stack.push_async_callback(readiness.drain)
        yield address


async def _answers(database: Database) -> bool:
    async with database.reading() as session:
        return bool(await session.scalar(text("SELECT 1")))


async def _channel(stack: AsyncExitStack, target: str) -> grpc.aio.Channel:
    return await stack.enter_async_context(grpc.aio.insecure_channel(target))


def _own(stack: AsyncExitStack, name: str, work: Any) -> None:
    task = asyncio.create_task(work, name=name)

    async def end() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(end)
