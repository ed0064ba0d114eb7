"""The Triton behind the gateway, put together: one of its own that is kept running, or somebody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from wildgate_server.box import Box
from wildgate_server.metrics import Metrics
from wildgate_server.monitoring import Page, page_at
from wildgate_server.repository.releases import Rollout
from wildgate_server.rollout.backend import Backend, ExternalBackend
from wildgate_server.rollout.model_healer import ModelHealer
from wildgate_server.rollout.model_rollout import ModelRollout, NotLoaded
from wildgate_server.triton.backend_settings import BackendSettings
from wildgate_server.triton.client import TritonClient
from wildgate_server.triton.embedded import EmbeddedTriton
from wildgate_server.triton.supervision import SupervisedTriton

__all__ = ["TritonInUse", "triton_in_use"]

_MAX_REVIVAL_S = 20.0  # longer than a start of all


@dataclass(frozen=True, slots=True)
class TritonInUse:
    """What asks Triton and what changes its models; the embedded one has `watches` that keep it running.

    `given_up` is set when the embedded Triton ended by itself too often: it is not started any more. `deaths` are those
    of its processes. `told` is the embedded one's own page of metrics.
    """

    client: TritonClient
    backend: Backend
    embedded: SupervisedTriton | None = None
    watches: dict[str, Callable[[], Coroutine[None, None, None]]] = field(default_factory=dict)
    given_up: asyncio.Event = field(default_factory=asyncio.Event)
    deaths: Callable[[], dict[str, int]] = dict
    told: Page | None = None

    def hangs(self) -> None:
        """Ends an embedded Triton that hangs; another takes its place."""
        if self.embedded:
            self.embedded.kill()


@asynccontextmanager
async def triton_in_use(
    settings: BackendSettings,
    first: Rollout,
    in_force: Callable[[], Rollout],
    metrics: Metrics,
    *,
    rows_in_flight: int,
    box: Box,
    spans_to: str | None = None,
) -> AsyncIterator[TritonInUse]:
    """Starts a Triton with the rollout `first`, unless the settings name one; `in_force` is asked at each restart.

    It sends spans of what is traced to `spans_to` (OTLP over HTTP).
    Raises what `EmbeddedTriton` raises.
    """
    if settings.target is not None:
        async with TritonClient(settings.target, profile=settings.profile, tls=settings.tls) as client:
            yield TritonInUse(client, ExternalBackend(client))
        return
    start = partial(EmbeddedTriton, rows_in_flight=rows_in_flight, box=box, spans_to=spans_to)
    async with SupervisedTriton(settings, first, start) as embedded:
        backend = ModelRollout(embedded.control, embedded.lay_out, max_revival_s=_MAX_REVIVAL_S)

        async def revive(model: str) -> None:
            if model not in client.dead:
                return  # it came back with all the others
            models = embedded.models
            try:
                if await embedded.is_gutted():
                    raise NotLoaded("several models have lost all processes")
                await backend.revive(model, models)
            except NotLoaded:  # Triton may wait for ever for a lock that the process held
                embedded.kill(models)
                raise

        healer = ModelHealer(revive, lambda model: client.healed(model))
        async with TritonClient(embedded.target, profile=settings.profile, on_dead=healer.dead) as client:

            async def supervise() -> None:
                await embedded.run(client, in_force, backend.bring)
                in_use.given_up.set()

            about = "What is left of the /dev/shm of the embedded Triton."
            metrics.gauge("wildgate_shared_memory_free_bytes", about, lambda: embedded.free_shared_memory)
            in_use = TritonInUse(
                client,
                backend,
                embedded,
                {"healer": healer.run, "triton": supervise},
                deaths=lambda: {"tritonserver": embedded.deaths, "model": healer.deaths},
                told=page_at(lambda: embedded.metrics_url),
            )
            yield in_use
