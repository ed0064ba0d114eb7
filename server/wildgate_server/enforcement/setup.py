"""The hand-over of the settings: its spool opened, and what there is to see of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import time

from wildgate_server.enforcement.case_client import CaseClient
from wildgate_server.enforcement.enforcement_settings import EnforcementSettings
from wildgate_server.enforcement.handoff import CaseHandoff
from wildgate_server.enforcement.spool import Spool
from wildgate_server.errors import SettingsConflict
from wildgate_server.metrics import Metrics
from wildgate_server.sampling.secret import SamplingSecret

__all__ = ["case_handoff"]


@asynccontextmanager
async def case_handoff(
    settings: EnforcementSettings, secret: SamplingSecret, metrics: Metrics
) -> AsyncIterator[CaseHandoff | None]:
    """The hand-over while the context lasts; None without a service. Raises StartError, SettingsConflict."""
    if settings.service is None or settings.spool is None:
        yield None
        return
    if settings.sample_share and not secret.seed("any"):
        raise SettingsConflict("enforcement.sample_share wants a sampling.secret_file where verdicts are shared")
    spool = await asyncio.to_thread(
        Spool, settings.spool, max_items=settings.spool_max_cases, max_bytes=settings.spool_max_mb << 20
    )
    async with CaseClient(settings.service, settings.token_file, settings.tls) as client:
        handoff = CaseHandoff(settings, client, spool, secret, metrics)
        gauge = metrics.gauge
        gauge("wildgate_case_spool_waiting", "Cases that are kept and to be delivered.", lambda: spool.waiting)
        gauge("wildgate_case_spool_refused", "Cases that are kept and were refused.", lambda: spool.refused)
        gauge("wildgate_case_spool_bytes", "What both take.", lambda: spool.size_bytes)
        gauge(
            "wildgate_case_spool_oldest_seconds",
            "For how long the oldest case has waited.",
            lambda: 0.0 if spool.oldest_ms is None else max(time() - spool.oldest_ms / 1e3, 0.0),
        )
        try:
            yield handoff
        finally:
            await handoff.close()
