"""The Triton behind the gateway: an embedded one, whose models the gateway loads itself, or an external one."""

from __future__ import annotations

from wildgate_server.repository.model_configs import ensembles
from wildgate_server.repository.releases import Rollout
from wildgate_server.rollout.model_rollout import ModelRollout
from wildgate_server.triton.client import TritonClient

__all__ = ["Backend", "ExternalBackend", "NotReadyYet"]


class NotReadyYet(Exception):
    """Versions of a rollout are not loaded yet, which is not the gateway's to do; the text names what is missing."""


class ExternalBackend:
    """A Triton that `wildgate-build load` loads models into; the gateway waits for a version."""

    def __init__(self, triton: TritonClient) -> None:
        self._triton = triton

    async def bring(self, rollout: Rollout) -> None:
        """Raises NotReadyYet, naming what is missing, until every version of `rollout` is ready."""
        for name, version in ensembles(rollout).items():
            if not await self._triton.ready(name, version):
                raise NotReadyYet(f"Triton has no {name} of version {version}: `wildgate-build load` loads it")

    async def settle(self, rollout: Rollout) -> None:
        """Does nothing: `wildgate-build load` unloads, too."""


Backend = ModelRollout | ExternalBackend
