"""Everything that can be set: command line over environment over default."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from wildgate_search.counts import CountSettings
from wildgate_search.lexicon import SHIPPED_LEXICON
from wildgate_server.access.access_settings import AccessSettings
from wildgate_server.command_line import CommandSettings
from wildgate_server.config_section import HostPort
from wildgate_server.transport import ServerTls

__all__ = ["ScreeningSettings"]


class ScreeningSettings(CommandSettings):
    """Screens search queries for other services."""

    model_config = SettingsConfigDict(env_prefix="WILDGATE_SCREENING__", cli_prog_name="wildgate screening")

    listen: HostPort = "127.0.0.1:8103"
    """gRPC address; port 0 takes a free one."""
    metrics: HostPort | None = None
    """Where metrics, liveness and readiness are served over HTTP; nowhere by default, of process k at PORT + k."""
    lexicon: Path = SHIPPED_LEXICON
    """Directory of the lexicon's YAML files; they are followed while it runs."""
    processes: int = Field(1, ge=1, le=256)
    """How many processes answer at the address; each uses one core."""
    look_again_s: float = Field(1.0, gt=0)
    """How often the lexicon's files are looked at."""
    counts_file: Path | None = None
    """JSON lines of private counts are appended to it after each window; without it, nothing is counted."""
    counts: CountSettings = CountSettings()
    """How counts are kept private."""
    access: AccessSettings = AccessSettings()
    """Whose tokens are taken; without keys, everybody may ask."""
    tls: ServerTls = ServerTls()
    """How this service is reached."""
    max_query_chars: int = Field(1000, ge=1)
    """Longest query, in characters."""
    max_batch: int = Field(1024, ge=1)
    """Most queries in a batch."""
    max_in_flight: int = Field(1000, ge=1)
    """Most calls of a process at a time; more are refused."""
