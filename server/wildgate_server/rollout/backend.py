"""The Triton behind the gateway: an embedded one, whose models the gateway loads itself, or an external one."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from wildgate_server.repository.model_configs import ensembles
from wildgate_server.repository.releases import Rollout
from wildgate_server.rollout.model_rollout import ModelRollout
from wildgate_server.rollout.rollout_follower import NotReadyYet
from wildgate_server.settings import BackendSettings, BatchSettings
from wildgate_server.triton.client import TritonClient
from wildgate_server.triton.embedded import EmbeddedTriton, EmbeddedTritonConfig
from wildgate_server.triton.launch import models_to_load

__all__ = ["EmbeddedBackend", "ExternalBackend", "embedded_backend", "scorers"]


def scorers(profile: str, rollout: Rollout) -> dict[str, int]:
    """The ensembles that `profile` asks, and the detector's version that each of them asks."""
    asked = ensembles(rollout)
    return {name: asked[name] for name in models_to_load(profile, rollout) if name in asked}


class ExternalBackend:
    """A Triton that somebody else loads models into (`wildgate-build load`): a version is waited for."""

    def __init__(self, triton: TritonClient, profile: str) -> None:
        self._triton = triton
        self._profile = profile

    async def bring(self, rollout: Rollout) -> None:
        """Raises NotReadyYet, naming what is missing, until every version of `rollout` answers."""
        for name, version in scorers(self._profile, rollout).items():
            if not await self._triton.ready(name, version):
                raise NotReadyYet(f"Triton has no {name} of version {version}: `wildgate-build load` loads it")

    async def settle(self, rollout: Rollout) -> None:
        """Leaves it to who loads."""


class EmbeddedBackend(ModelRollout):
    """The gateway's own Triton."""

    def __init__(self, embedded: EmbeddedTriton, profile: str) -> None:
        self.embedded = embedded
        self.control = embedded.control()
        super().__init__(self.control, embedded.lay_out, profile)

    async def revive_model(self, model: str) -> None:
        """Starts the processes of `model` anew. Raises NotLoaded."""
        await self.revive(model, self.embedded.models)


@asynccontextmanager
async def embedded_backend(
    settings: BackendSettings, batch: BatchSettings, rollout: Rollout
) -> AsyncIterator[EmbeddedBackend]:
    """An embedded Triton that runs as long as the context, started with `rollout`. Raises TritonStartError."""
    config = EmbeddedTritonConfig(
        model_repository=settings.model_repository,
        state_directory=settings.log_dir or Path(tempfile.mkdtemp(prefix="wildgate-")),
        instances=settings.instances,
        profile=settings.profile,
        rollout=rollout,
        rows_in_flight=batch.max_rows * batch.max_in_flight,
        startup_timeout_s=settings.startup_timeout_s,
    )
    async with EmbeddedTriton(config) as embedded:
        backend = EmbeddedBackend(embedded, settings.profile)
        try:
            yield backend
        finally:
            await backend.control.close()
