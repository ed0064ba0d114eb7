"""Settings of what callers may give and how it is fetched; for the gateway only, as workers do without pydantic."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import Field

from wildgate_server.config_section import ConfigSection
from wildgate_server.source.byte_source import ReadingBounds
from wildgate_server.source.fetching import FetchConfig
from wildgate_server.source.remote_uri import Scheme

__all__ = ["SourceSettings"]

_DEFAULTS = FetchConfig()

Bucket = Annotated[str, Field(pattern=r"^(s3|gs)://[A-Za-z0-9][A-Za-z0-9._-]*$")]


class SourceSettings(ConfigSection):
    """What callers may give."""

    file_roots: tuple[Path, ...] = ()
    """Directories below which `file:` URIs may be read; none by default, which turns them off."""
    schemes: tuple[Scheme, ...] = _DEFAULTS.schemes
    """Schemes of URIs and redirects that may be fetched from public hosts; an empty list turns that off."""
    private_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks, such as 10.1.0.0/16, whose hosts may be fetched from although they are not public, on any port.
    Addresses where clouds hand out credentials, such as 169.254.169.254, must each be named by themselves."""
    ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = _DEFAULTS.ports
    """Ports of public hosts that may be fetched from."""
    buckets: tuple[Bucket, ...] = ()
    """Buckets that may be read, as `s3://NAME` or `gs://NAME`; none by default. Credentials, region and endpoint are
    those that the environment gives (`AWS_...`, `GOOGLE_...`)."""
    fetch_timeout_s: float = Field(_DEFAULTS.timeout_s, gt=0)
    """How long fetching one video may take; less than `sampling.timeout_s`, which ends all work on it."""
    fetch_stall_s: float = Field(_DEFAULTS.stall_s, gt=0)
    """A request that gets no answer, or no next byte, for this long is given up and tried again."""
    fetch_slowest_kb_per_s: int = Field(_DEFAULTS.slowest_kb_per_s, ge=0)
    """A host that sends less, the first three seconds aside, is given up: it would keep others from being fetched."""
    fetch_attempts: int = Field(_DEFAULTS.attempts, ge=1)
    """How often a request is tried."""
    fetch_parallel: int = Field(_DEFAULTS.parallel, ge=1)
    """Requests for one video under way at once."""
    fetch_max_requests: int = Field(_DEFAULTS.bounds.max_requests, ge=2)
    """Requests for one video, at most; where they do not suffice, the last one reads all that is left of it."""
    fetch_step_kb: int = Field(_DEFAULTS.bounds.step_bytes >> 10, ge=4)
    """Kilobytes to fetch at once while it is not known yet which parts are needed."""
    fetch_merge_gap_kb: int = Field(_DEFAULTS.bounds.max_gap_bytes >> 10, ge=0)
    """Parts at most this many kilobytes apart are fetched as one."""
    max_bytes: int = Field(64 << 20, ge=1)
    """Largest media file, in bytes."""
    max_seconds: float = Field(600.0, gt=0)
    """Longest video, in seconds."""

    def fetching(self) -> FetchConfig:
        """How a worker is to fetch objects."""
        return FetchConfig(
            timeout_s=self.fetch_timeout_s,
            stall_s=self.fetch_stall_s,
            slowest_kb_per_s=self.fetch_slowest_kb_per_s,
            attempts=self.fetch_attempts,
            parallel=self.fetch_parallel,
            bounds=ReadingBounds(
                step_bytes=self.fetch_step_kb << 10,
                max_gap_bytes=self.fetch_merge_gap_kb << 10,
                max_requests=self.fetch_max_requests,
            ),
            schemes=self.schemes,
            private_networks=self.private_networks,
            ports=self.ports,
        )
