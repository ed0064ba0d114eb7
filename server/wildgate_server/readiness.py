"""Health that tells the truth: SERVING only while a request could be answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as aio_health

__all__ = ["Readiness"]

_log = structlog.get_logger()

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Readiness:
    """Sets the standard health service, for the server as a whole and for each named service, by asking `ready`.

    `details` have names of their own there, and what each asks makes no difference to the server as a whole.
    """

    def __init__(
        self,
        services: tuple[str, ...],
        ready: Callable[[], Awaitable[bool]],
        period_s: float = 0.5,
        details: Mapping[str, Callable[[], bool]] | None = None,
    ) -> None:
        self.servicer = aio_health.HealthServicer()
        self._services = ("", *services)
        self._ready = ready
        self._period_s = period_s
        self._details = dict(details or {})
        self._serving: bool | None = None
        self._lost = False
        self._draining = False
        self.served = asyncio.Event()
        """Set once the server was SERVING for the first time."""

    @property
    def serving(self) -> bool:
        """Whether the server as a whole is SERVING."""
        return bool(self._serving) and not self._draining

    async def watch(self) -> None:
        """Asks again and again; runs until it is cancelled."""
        while True:
            await self.update()
            await asyncio.sleep(self._period_s)

    async def update(self) -> None:
        """Asks once and sets what was answered; a question that fails is a no."""
        try:
            serving = not self._lost and await self._ready()
        except Exception:
            _log.exception("readiness_check_failed")
            serving = False
        await self._set(serving and not self._lost)
        for name, holds in self._details.items():
            await self.servicer.set(name, _SERVING if holds() else _NOT_SERVING)

    async def depend_on(self, watch: Callable[[], Awaitable[object]], name: str) -> None:
        """Runs `watch`, which is to run until it is cancelled; when it ends otherwise, NOT_SERVING for good."""
        try:
            await watch()
            _log.error("watch_ended", watch=name)
        except Exception:
            _log.exception("watch_ended", watch=name)
        self._lost = True
        await self._set(False)

    async def drain(self) -> None:
        """NOT_SERVING from now on, whatever `ready` says."""
        self._draining = True
        await self.servicer.enter_graceful_shutdown()

    async def _set(self, serving: bool) -> None:
        if serving == self._serving:
            return
        for service in self._services:
            await self.servicer.set(service, _SERVING if serving else _NOT_SERVING)
        self._serving = serving
        if serving:
            self.served.set()
        _log.info("readiness", serving=serving)
