"""The Triton behind the gateway: an embedded one, whose models the gateway loads itself, or an external one."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from wildgate_server.config_section import ConfigSection
from wildgate_server.repository.model_configs import ensembles
from wildgate_server.repository.releases import Rollout
from wildgate_server.rollout.model_rollout import ModelRollout
from wildgate_server.triton.client import TritonClient
from wildgate_server.triton.launch import EmbeddedTritonConfig

__all__ = ["Backend", "BackendSettings", "ExternalBackend", "NotReadyYet"]


class BackendSettings(ConfigSection):
    """Which Triton answers."""

    target: str | None = None
    """gRPC target of an external Triton (`host:port`, `dns:///...`); without one an embedded Triton is started."""
    model_repository: Path = Path("model_repository")
    """Directory that Triton loads, with `manifest.yaml` in it."""
    profile: Literal["cpu", "gpu", "rtx"] = "cpu"
    """Which of the models' configs run: `cpu`; `rtx` (DALI and TensorRT-RTX from PyPI); `gpu` in an external Triton."""
    follow_rollout_s: float = Field(2.0, gt=0)
    """How often the repository's `rollout.yaml` is looked at; SIGHUP has it looked at once."""
    canary_patience_s: float = Field(1.0, gt=0)
    """How long an answer of the serving version may wait for that of the version on trial, at least; it may wait as
    long as the serving version itself took."""
    instances: int | None = Field(None, ge=1)
    """Instances of each model in the embedded Triton; as many as cores by default."""
    startup_timeout_s: float = Field(EmbeddedTritonConfig.startup_timeout_s, gt=0)
    """How long the embedded Triton may take to become ready."""
    log_dir: Path | None = None
    """Where the embedded Triton's log is kept; a new directory below the system's temporary one by default."""


class NotReadyYet(Exception):
    """Versions of a rollout are not loaded yet, which is somebody else's job; the text names what is missing."""


class ExternalBackend:
    """A Triton that somebody else loads models into (`wildgate-build load`): a version is waited for."""

    def __init__(self, triton: TritonClient, profile: str) -> None:
        self._triton = triton
        self._profile = profile

    async def bring(self, rollout: Rollout) -> None:
        """Raises NotReadyYet, naming what is missing, until every version of `rollout` is ready."""
        for name, version in ensembles(rollout, self._profile).items():
            if not await self._triton.ready(name, version):
                raise NotReadyYet(f"Triton has no {name} of version {version}: `wildgate-build load` loads it")

    async def settle(self, rollout: Rollout) -> None:
        """Leaves unloading to whoever loads."""


Backend = ModelRollout | ExternalBackend
