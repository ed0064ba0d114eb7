"""Settings of access by token."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from wildgate_server.config_section import ConfigSection

__all__ = ["AccessSettings"]


class AccessSettings(ConfigSection):
    """Whose tokens are taken; without keys, everybody may call everything, on loopback."""

    keys: str | None = None
    """Public keys: a PEM, JWK or JWKS file, read anew as it changes, or the https URL of a JWKS."""
    off: bool = False
    """Let everybody call everything without a token even at an address that is not loopback."""
    revoked: Path | None = None
    """A file with what holds no more, one a line: `token JTI`, `subject SUB` (all its tokens), or `cert SHA256`, the
    fingerprint of a caller's certificate. Read anew as it changes."""
    tenants: Path | None = None
    """A YAML file with the tenants' quotas and priorities, read anew as it changes; without it nobody has any."""
    issuer: str = ""
    """What a token's `iss` must be."""
    audience: str = "wildgate"
    """What a token's `aud` must be or hold."""
    leeway_s: float = Field(10.0, ge=0, le=300)
    """By how much the issuer's clock may differ from this one."""
    refresh_s: float = Field(300.0, ge=1)
    """How long keys from a URL are held before they are asked for again."""
    retry_s: float = Field(30.0, ge=1)
    """The least time between two requests to the URL, whatever unknown keys tokens name."""
    stale_s: float = Field(3600.0, ge=1)
    """How long the last keys hold while the URL is away."""

    @model_validator(mode="after")
    def _issuer_is_named(self) -> Self:
        if self.keys is not None and not (self.issuer and self.audience):
            raise ValueError("access.keys needs access.issuer and access.audience")
        if self.keys is None and (self.revoked or self.tenants):
            raise ValueError("access.revoked and access.tenants need access.keys")
        if self.keys is not None and self.keys.startswith("http:"):
            raise ValueError("access.keys: keys are fetched over https")
        return self
