"""Where cases are opened, and where they are kept while that is not possible."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from wildgate_server.config_section import ConfigSection, HostPort
from wildgate_server.transport import IN_THE_CLEAR, ClientTls

__all__ = ["EnforcementSettings"]


class EnforcementSettings(ConfigSection):
    """Handing REVIEW and BLOCK over to the enforcement service; nothing is handed over without one."""

    target: str | None = None
    """gRPC target of the enforcement service."""
    directory: Path | None = None
    """Instead of a target: where a service of this gateway's own keeps cases, which starts and stops with it (for
    short: --enforcement DIR). It takes its settings from the environment (WILDGATE_ENFORCE__ACCESS__KEYS=keys.pem)."""
    listen: HostPort = "127.0.0.1:8102"
    """gRPC address of the gateway's own service."""
    spool_directory: Path | None = None
    """Where cases are kept while the service is away: this gateway's alone, on a disk that outlives it; with a service
    of its own in `directory`, by default."""
    token_file: Path | None = None
    """A file with the bearer token for the service; read at each call, so that it can be replaced."""
    tls: ClientTls = IN_THE_CLEAR
    """TLS to the enforcement service; in the clear without `ca`."""
    budget_ms: float = Field(50.0, gt=0)
    """How long an answer waits for the service before its case is kept on disk."""
    spool_max_cases: int = Field(100_000, ge=1)
    """Most cases that are kept; what comes then is answered without a case."""
    spool_max_mb: int = Field(1024, ge=1)
    """Megabytes that they take, at most."""
    evidence_frames: int = Field(4, ge=0, le=16)
    """Pictures that a new REVIEW or BLOCK gives its case: the frames with the highest scores, and those that match
    blocked videos."""
    sample_share: float = Field(0.0, ge=0, le=1)
    """Share of ALLOWs that become cases, too, to learn how often those are wrong; drawn with sampling.secret_file."""

    @model_validator(mode="after")
    def _kept_somewhere(self) -> EnforcementSettings:
        if self.target is not None and self.directory is not None:
            raise ValueError("there is either a target, or a service of this gateway's own in a directory")
        if self.target is not None and self.spool_directory is None:
            raise ValueError("target wants a spool_directory, too: cases are kept there while the service is away")
        if self.directory is not None and self.listen.endswith(":0"):
            raise ValueError("listen wants a port: the service is found there again after a restart")
        return self

    @property
    def service(self) -> str | None:
        """Where cases are opened; None where none are."""
        return self.listen if self.directory else self.target

    @property
    def spool(self) -> Path | None:
        """Where they are kept."""
        return self.spool_directory or (self.directory and self.directory / "spool")
