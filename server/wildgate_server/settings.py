"""Configuration: one frozen model per concern, read once at start.

Precedence: command line > environment (`WILDGATE_...`) > YAML file (named by `WILDGATE_CONFIG`) > defaults.
`wildgate serve --help` lists every field.
"""

from __future__ import annotations

import os
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)

from wildgate_server.cores import available_cores
from wildgate_server.sampling.plan import SamplingConfig
from wildgate_server.sampling.sampler import VideoLimits
from wildgate_server.source.http_url import Scheme
from wildgate_server.source.remote_object import FetchConfig
from wildgate_server.triton.launch import EmbeddedTritonConfig

__all__ = [
    "AdmissionSettings",
    "BackendSettings",
    "BatchSettings",
    "CacheSettings",
    "EndpointSettings",
    "SamplingSettings",
    "ServerSettings",
    "SourceSettings",
    "host_and_port",
]

_CONFIG_VARIABLE = "WILDGATE_CONFIG"
_FETCHING = FetchConfig()


def host_and_port(text: str) -> str:
    """Checks `HOST:PORT`; port 0 lets the system choose one. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdigit() and int(port) < 65536):
        raise ValueError(f"{text!r} is not HOST:PORT")
    return text


HostPort = Annotated[str, AfterValidator(host_and_port)]
Bucket = Annotated[str, Field(pattern=r"^(s3|gs)://[A-Za-z0-9][A-Za-z0-9._-]*$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class EndpointSettings(_Section):
    """Where the gateway can be reached."""

    address: HostPort = "127.0.0.1:8100"
    """gRPC address; port 0 takes a free one."""
    metrics: HostPort | None = None
    """Where Prometheus metrics are served over HTTP; nowhere by default."""
    drain_s: float = Field(20.0, gt=0)
    """How long work under way may take to finish after SIGTERM."""


class SourceSettings(_Section):
    """What callers may give."""

    file_roots: tuple[Path, ...] = ()
    """Directories below which `file:` URIs may be read; none by default, which turns them off."""
    schemes: tuple[Scheme, ...] = _FETCHING.schemes
    """Schemes of the URIs, and of redirects, that may be fetched from public hosts; none turns that off."""
    private_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks, such as 10.1.0.0/16, whose hosts may be fetched from although they are not public, on any port.
    The addresses where clouds hand out credentials, such as 169.254.169.254, have to be named by themselves."""
    ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = _FETCHING.ports
    """Ports of public hosts that may be fetched from."""
    buckets: tuple[Bucket, ...] = ()
    """Buckets that may be read, as `s3://NAME` or `gs://NAME`; none by default. Credentials, region and endpoint are
    those that the environment gives (`AWS_...`, `GOOGLE_...`)."""
    fetch_timeout_s: float = Field(_FETCHING.timeout_s, gt=0)
    """The longest that one video may take to come from elsewhere; less than `sampling.timeout_s`, which ends all."""
    fetch_stall_s: float = Field(_FETCHING.stall_s, gt=0)
    """A request without an answer, or without its next byte, for so long is given up and tried again."""
    fetch_attempts: int = Field(_FETCHING.attempts, ge=1)
    """How often a request is tried."""
    fetch_parallel: int = Field(_FETCHING.parallel, ge=1)
    """Requests for one video under way at once."""
    fetch_max_requests: int = Field(_FETCHING.bounds.max_requests, ge=2)
    """Requests for one video; when they do not suffice, the last reads the rest of it."""
    fetch_step_kb: int = Field(_FETCHING.bounds.step_bytes >> 10, ge=4)
    """Kilobytes to fetch at once where it is not known yet what is needed."""
    fetch_merge_gap_kb: int = Field(_FETCHING.bounds.max_gap_bytes >> 10, ge=0)
    """Parts that are so many kilobytes apart, or less, are fetched as one."""
    max_bytes: int = Field(64 << 20, ge=1)
    """Largest media file."""
    max_seconds: float = Field(600.0, gt=0)
    """Longest video."""

    def limits(self, max_pixels: int) -> VideoLimits:
        """What a video may hold, a picture at most `max_pixels`."""
        return VideoLimits(max_bytes=self.max_bytes, max_pixels=max_pixels, max_seconds=self.max_seconds)


class SamplingSettings(_Section):
    """How a video is looked at, and the processes that do it."""

    max_gap_s: float = Field(2.0, gt=0)
    """Longest stretch of a video to leave unlooked."""
    max_frames: int = Field(64, ge=1)
    """Frames looked at per video, at most."""
    max_decoded_frames: int = Field(2000, ge=1)
    """Frames decoded for these, at most; only videos with sparse keyframes come near."""
    max_clip_mb: int = Field(64, ge=1)
    """Megabytes sent to Triton per video, at most."""
    workers: int = Field(default_factory=available_cores, ge=1)
    """Sampling processes."""
    fetch_workers: int = Field(default_factory=lambda: min(4 * available_cores(), 16), ge=1)
    """As many more, at most, for what lies behind http, https, s3 and gs URIs: so many are read at once. Each is
    started when all others are busy, and then takes some 36 MB."""
    timeout_s: float = Field(10.0, gt=0)
    """A worker busy with one video for longer is killed, and the video refused."""
    worker_memory_mb: int = Field(2048, ge=512)
    """Address space of one worker; a video that needs more is refused."""

    def config(self, frames_per_window: int, *, read_coding: bool) -> SamplingConfig:
        """How the sampler is to look at a video, for clip windows of F = `frames_per_window` places."""
        return SamplingConfig(
            frames_per_window=frames_per_window,
            max_gap_s=self.max_gap_s,
            max_frames=self.max_frames,
            max_decoded_frames=self.max_decoded_frames,
            max_clip_bytes=self.max_clip_mb << 20,
            read_coding=read_coding,
        )


class AdmissionSettings(_Section):
    """How much work is let in."""

    max_in_flight: int = Field(64, ge=1)
    """Videos in the gateway at once; one more is refused at the door."""
    max_in_flight_mb: int = Field(1024, ge=1)
    """Megabytes of requests in the gateway at once."""
    retry_after_ms: int = Field(250, ge=1)
    """What a refused caller is told to wait."""
    stream_concurrency: int = Field(16, ge=1)
    """Videos of one stream worked on at once; the stream is not read faster."""
    max_deadline_s: float = Field(60.0, gt=0)
    """The longest a request may take, whatever its caller allows."""


class CacheSettings(_Section):
    """Verdicts that are kept, and equal videos that are scored once."""

    max_entries: int = Field(100_000, ge=0)
    """Verdicts kept in memory, at most. With 0 and without Redis every video is scored by itself, equal ones too."""
    max_mb: int = Field(256, ge=1)
    """Megabytes that these may take."""
    ttl_s: float = Field(3600.0, gt=0)
    """How long a verdict is kept."""
    redis_url: SecretStr | None = None
    """Redis that a fleet shares its verdicts in: `redis://[user:password@]HOST[:PORT][/DATABASE]`, `rediss://` (TLS) or
    `unix://`. It may hold a password: better given by the environment than on the command line."""
    redis_timeout_ms: float = Field(50.0, gt=0)
    """How long Redis may take; one that takes longer is done without."""


class BatchSettings(_Section):
    """How clip windows become Triton requests."""

    max_rows: int = Field(8, ge=1)
    """Windows in one Triton request, at most."""
    max_wait_ms: float = Field(0.0, ge=0)
    """How long the first window of a batch waits for company. Without waiting, a batch is what gathered while all
    requests were under way, so batches grow with the load; on CPUs that measured best."""
    max_batch_mb: int = Field(64, ge=1)
    """Largest Triton request, padding included."""
    max_in_flight: int = Field(4, ge=1)
    """Triton requests under way at once."""


class BackendSettings(_Section):
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


class ServerSettings(BaseSettings):
    """Scores videos over gRPC."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="WILDGATE_",
        env_nested_delimiter="__",
        cli_prog_name="wildgate serve",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_avoid_json=True,
        cli_hide_none_type=True,
        cli_shortcuts={
            "endpoint.address": "listen",
            "endpoint.metrics": "metrics",
            "backend.target": "triton",
            "backend.model-repository": "model-repository",
            "source.file-roots": "file-root",
        },
        use_attribute_docstrings=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Where values come from; raises SettingsError when the file that `WILDGATE_CONFIG` names is missing."""
        file = os.environ.get(_CONFIG_VARIABLE)
        if file is None:
            return init_settings, env_settings
        if not Path(file).is_file():
            raise SettingsError(f"{_CONFIG_VARIABLE}: no file lies at {file}")
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=file)

    endpoint: EndpointSettings = EndpointSettings()
    source: SourceSettings = SourceSettings()
    sampling: SamplingSettings = SamplingSettings()
    admission: AdmissionSettings = AdmissionSettings()
    cache: CacheSettings = CacheSettings()
    batch: BatchSettings = BatchSettings()
    backend: BackendSettings = BackendSettings()
    policy: Path | None = None
    """Policy file; the shipped one by default."""
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$")
    """Least severe log line that is written."""

    @field_validator("sampling")
    @classmethod
    def _outlasts_fetching(cls, sampling: SamplingSettings, info: ValidationInfo) -> SamplingSettings:
        source: SourceSettings | None = info.data.get("source")  # none when it has faults of its own
        if source is not None and source.fetch_timeout_s >= sampling.timeout_s:
            raise ValueError(
                f"source.fetch_timeout_s ({source.fetch_timeout_s:g}) must be less than "
                f"sampling.timeout_s ({sampling.timeout_s:g})"
            )
        return sampling
