"""Configuration of the Triton behind the gateway."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from wildgate_server.config_section import ConfigSection
from wildgate_server.repository.model_configs import CPU_PROFILE, Profile
from wildgate_server.transport import IN_THE_CLEAR, ClientTls

__all__ = ["BackendSettings"]


class BackendSettings(ConfigSection):
    """Which Triton answers."""

    target: str | None = None
    """gRPC target of an external Triton (`host:port`, `dns:///...`); without one an embedded Triton is started."""
    tls: ClientTls = IN_THE_CLEAR
    """TLS to an external Triton; in the clear without `ca`."""
    model_repository: Path = Path("model_repository")
    """Directory that Triton loads, with `manifest.yaml` in it."""
    profile: Profile = CPU_PROFILE
    """Which of the models' configs run: `cpu`; `rtx` (DALI and TensorRT-RTX from PyPI); `gpu` in an external Triton."""
    follow_rollout_s: float = Field(2.0, gt=0)
    """How often, in seconds, the repository's `rollout.yaml` is read; SIGHUP has it read at once."""
    canary_patience_s: float = Field(1.0, gt=0)
    """How long, at least, the serving version's answer may wait for that of a version on trial; otherwise as long as
    the serving version itself took."""
    instances: int | None = Field(None, ge=1)
    """Instances of each model in the embedded Triton; as many as cores by default."""
    startup_timeout_s: float = Field(120.0, gt=0)
    """How long the embedded Triton may take to become ready."""
    restarts: int | None = Field(None, ge=0)
    """How often in a row, each time within a minute, the embedded Triton is started again when it ends by itself;
    after that the gateway ends, too, with exit 1. As often as it takes by default, with growing pauses."""
    log_dir: Path | None = None
    """Where the embedded Triton's log is kept; a new directory below the system's temporary one by default."""
