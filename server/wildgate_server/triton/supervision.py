"""Keeps an embedded Triton running: one that ends, or that hangs, is replaced.

What kills it is often not its own fault: its Python backend shares locks with the model processes, and aborts
(`boost::interprocess::lock_exception`) when one of these is killed while it holds one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic
from typing import Self

import structlog

from wildgate_server.repository.manifest import ManifestError
from wildgate_server.repository.releases import Rollout
from wildgate_server.triton.backend_settings import BackendSettings
from wildgate_server.triton.client import TritonClient
from wildgate_server.triton.embedded import EmbeddedTriton, TritonStartError
from wildgate_server.triton.model_control import ModelControl

__all__ = ["SupervisedTriton"]

_SERVER = "tritonserver"
_STEADY_S = 60.0  # who ran for longer did not fail at its start
_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.5, 30.0

_log = structlog.get_logger(__name__)

Start = Callable[[BackendSettings, Rollout], EmbeddedTriton]


class SupervisedTriton:
    """An embedded Triton as long as an async context lasts; `run` replaces it by another when it ends.

    `start(settings, rollout)` makes each one, ready to be entered. Entering raises what `EmbeddedTriton` raises.
    `control` and `lay_out` are always those of the present one; `clock` returns monotonic seconds.
    """

    control: ModelControl

    def __init__(
        self,
        settings: BackendSettings,
        rollout: Rollout,
        start: Start = EmbeddedTriton,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._settings = settings
        self._first = rollout
        self._start = start
        self._clock = clock
        self._running = AsyncExitStack()
        self._embedded: EmbeddedTriton
        self._since_s = 0.0
        self._peopled: set[str] = set()
        self.deaths = 0
        """How often a server has ended by itself."""

    async def __aenter__(self) -> Self:
        await self._replace(self._first)
        self.control = ModelControl(self.target)
        # The logs of all that follow lie beside that of the first.
        self._settings = self._settings.model_copy(update={"log_dir": self._embedded.log_file.parent})
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.control.close()
        await self._running.aclose()

    @property
    def target(self) -> str:
        """The gRPC target of the present server."""
        return self._embedded.endpoints.grpc

    @property
    def metrics_url(self) -> str:
        """Where it tells its metrics."""
        return f"http://{self._embedded.endpoints.metrics}/metrics"

    @property
    def models(self) -> Path:
        """Its copy of the model repository."""
        return self._embedded.models

    def lay_out(self, rollout: Rollout) -> None:
        """As `EmbeddedTriton.lay_out`."""
        self._embedded.lay_out(rollout)

    async def is_gutted(self) -> bool:
        """Whether several models have lost all their processes: one start takes less than to load each of them."""
        embedded, before = self._embedded, self._peopled  # of one and the same: it may be replaced meanwhile
        try:
            return len(before - await asyncio.to_thread(embedded.peopled)) > 1
        except FileNotFoundError:  # it has gone, with its copy of the models
            return False

    def kill(self, models: Path | None = None) -> None:
        """Ends a server that hangs, if those are still its models; `run` replaces it."""
        if models in (None, self.models):
            self._embedded.kill()

    @property
    def free_shared_memory(self) -> int:
        """As `EmbeddedTriton.free_shared_memory`."""
        return self._embedded.free_shared_memory

    async def run(
        self, triton: TritonClient, rollout: Callable[[], Rollout], bring: Callable[[Rollout], Awaitable[None]]
    ) -> None:
        """Replaces the server whenever it ends, by one with what `rollout()` says; returns when it gives up.

        It gives up when the server has ended, or not started, more often in a row than the settings' `restarts`, each
        time within a minute. While there is none, `triton` has an outage; `bring` loads what came into force meanwhile.
        """
        failures = 0
        while True:
            status = await self._embedded.wait()
            ended_s = self._clock()
            self.deaths += 1
            triton.outage.begin(_SERVER)
            _log.error("triton_ended", status=status, log=str(self._embedded.log_file))
            if ended_s - self._since_s > _STEADY_S:
                failures = 0
            while True:
                failures += 1
                if self._settings.restarts is not None and failures > self._settings.restarts:
                    _log.error("triton_given_up", restarts=self._settings.restarts)
                    return
                if failures > 1:
                    pause_s = min(_FIRST_PAUSE_S * 2 ** (failures - 2), _MAX_PAUSE_S)
                    _log.error("triton_keeps_ending", times=failures, next_try_s=pause_s)
                    await asyncio.sleep(pause_s)
                try:
                    await self._replace(rollout())
                    await asyncio.gather(self.control.moved(self.target), triton.moved(self.target))
                    await bring(rollout())
                    break
                except Exception as error:  # a surprise must not end the supervision
                    surprise = None if isinstance(error, (TritonStartError, ManifestError, OSError)) else error
                    _log.error("triton_not_restarted", error=str(error), exc_info=surprise)
            triton.outage.end(_SERVER)
            _log.info("triton_restarted", after_s=round(self._clock() - ended_s, 1))

    async def _replace(self, rollout: Rollout) -> None:
        await self._running.aclose()  # nothing of the one before stays
        embedded = await self._running.enter_async_context(self._start(self._settings, rollout))
        self._embedded, self._peopled = embedded, await asyncio.to_thread(embedded.peopled)
        self._since_s = self._clock()
