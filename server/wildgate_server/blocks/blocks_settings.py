"""Where the list of blocks is kept, and whom it is followed from."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from wildgate_server.config_section import ConfigSection
from wildgate_server.transport import IN_THE_CLEAR, ClientTls

__all__ = ["BlocksSettings"]


class BlocksSettings(ConfigSection):
    """The list of blocked videos: its own directory, or a copy of what a block service elsewhere has."""

    directory: Path | None = None
    """Where the list is kept, or the copy of it; without one, this gateway has no list."""
    target: str | None = None
    """gRPC target of the block service that the fleet shares; without one, this gateway is its own."""
    token_file: Path | None = None
    """A file with the bearer token for that service; read at each call, so that it can be replaced."""
    tls: ClientTls = IN_THE_CLEAR
    """TLS to the block service; in the clear without `ca`."""
    wait_s: float = Field(10.0, ge=0)
    """How long the start waits for an external service; past that, the gateway starts with the copy that it has."""
    stale_after_s: float = Field(5.0, gt=0)
    """An external service that was not heard of for so long is away: answers and health say so."""

    @model_validator(mode="after")
    def _copy_has_a_place(self) -> BlocksSettings:
        if self.target is not None and self.directory is None:
            raise ValueError("target wants a directory, too: what is known is blocked there while the service is away")
        return self
