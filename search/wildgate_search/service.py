"""One process of the service, from start to stop: lexicon, gRPC server, counts."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import grpc
import structlog
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from wildgate_proto.v1.search_pb2_grpc import add_SearchServiceServicer_to_server
from wildgate_search.counts import PrivateCounts
from wildgate_search.live import LiveScreener
from wildgate_search.search_service import SEARCH_SERVICE, SearchService
from wildgate_search.settings import ScreeningSettings
from wildgate_server.access.access_interceptor import GATEWAY_CALLS, AccessInterceptor, Need
from wildgate_server.access.tokens import token_check
from wildgate_server.call_metrics import CallMetrics
from wildgate_server.interceptor import ErrorInterceptor
from wildgate_server.monitoring import monitoring
from wildgate_server.owned_task import own_task
from wildgate_server.readiness import Readiness
from wildgate_server.server_metrics import ServerMetrics
from wildgate_server.transport import listen

__all__ = ["CALLS", "running"]

_log = structlog.get_logger()

_DRAIN_S = 5.0
_BYTES_A_CHARACTER = 4
CALLS = {
    f"/{SEARCH_SERVICE}/Screen": Need.scope("screen"),
    f"/{SEARCH_SERVICE}/ScreenBatch": Need.scope("screen"),
    **{call: need for call, need in GATEWAY_CALLS.items() if call.startswith("/grpc.")},
}
"""What each call takes, where tokens are taken."""


@asynccontextmanager
async def running(settings: ScreeningSettings, live: LiveScreener) -> AsyncIterator[str]:
    """The service while the context lasts: the address at which it answers. Raises StartError, SettingsConflict."""
    check = token_check(settings.access, settings.listen)
    counts = PrivateCounts(settings.counts) if settings.counts_file else None
    metrics = ServerMetrics()
    metrics.gauges(
        "wildgate_screening_lexicon_info",
        "The lexicon in force.",
        ["lexicon_version"],
        lambda: {(live.screener.version,): 1},
    )
    service = SearchService(live, settings, counts)
    about = "Queries answered, by action."
    metrics.counters("wildgate_screening_queries", about, ["action"], lambda: service.answered)
    server = grpc.aio.server(
        interceptors=[
            CallMetrics(metrics),
            *([AccessInterceptor(check, CALLS)] if check else []),
            ErrorInterceptor(SEARCH_SERVICE, reflection.SERVICE_NAME),
        ],
        maximum_concurrent_rpcs=settings.max_in_flight,
        options=[
            ("grpc.max_receive_message_length", settings.max_batch * settings.max_query_chars * _BYTES_A_CHARACTER),
            ("grpc.per_message_decompression", 0),  # 127 KB may be 128 MB
            ("grpc.so_reuseport", int(settings.processes > 1)),
        ],
    )
    add_SearchServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    readiness = Readiness((SEARCH_SERVICE,), _ready)
    health_pb2_grpc.add_HealthServicer_to_server(readiness.servicer, server)
    reflection.enable_server_reflection([SEARCH_SERVICE, reflection.SERVICE_NAME], server)
    async with AsyncExitStack() as stack:
        address = listen(server, settings.listen, settings.tls)
        await stack.enter_async_context(monitoring(settings.metrics, metrics, lambda: readiness.serving))
        own_task(stack, "lexicon", readiness.depend_on(lambda: live.watch(settings.look_again_s), "lexicon"))
        if counts and settings.counts_file:
            own_task(stack, "counts", _release(counts, settings.counts_file, settings.counts.window_s))
        await readiness.update()
        await server.start()
        stack.push_async_callback(server.stop, _DRAIN_S)
        stack.push_async_callback(readiness.drain)
        yield address


async def _ready() -> bool:
    return True  # it listens once a lexicon is loaded, and needs nothing else


async def _release(counts: PrivateCounts, file: Path, window_s: float) -> None:
    while True:
        since = dt.datetime.now(dt.UTC)
        await asyncio.sleep(window_s)
        span = {"since": since.isoformat(), "until": dt.datetime.now(dt.UTC).isoformat()}
        lines = [json.dumps({**span, **asdict(count)}, ensure_ascii=False) + "\n" for count in counts.release()]
        try:
            with file.open("a", encoding="utf-8") as stream:
                stream.write("".join(lines))
        except OSError as error:
            _log.error("counts_not_written", file=str(file), error=error.strerror)
