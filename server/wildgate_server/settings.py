"""Configuration: one frozen model per concern, read once at start.

Precedence: command line > environment (`WILDGATE_...`) > YAML file (named by `WILDGATE_CONFIG`) > defaults.
`wildgate serve --help` lists every field.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)

from wildgate_server.config_section import ConfigSection
from wildgate_server.sampling.sampling_settings import SamplingSettings
from wildgate_server.source.source_settings import SourceSettings
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


def host_and_port(text: str) -> str:
    """Checks `HOST:PORT`; port 0 lets the system choose one. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdigit() and int(port) < 65536):
        raise ValueError(f"{text!r} is not HOST:PORT")
    return text


HostPort = Annotated[str, AfterValidator(host_and_port)]


class EndpointSettings(ConfigSection):
    """Where the gateway can be reached."""

    address: HostPort = "127.0.0.1:8100"
    """gRPC address; port 0 takes a free one."""
    metrics: HostPort | None = None
    """Where Prometheus metrics are served over HTTP; nowhere by default."""
    drain_s: float = Field(20.0, gt=0)
    """How long work under way may take to finish after SIGTERM."""


class AdmissionSettings(ConfigSection):
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


class CacheSettings(ConfigSection):
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


class BatchSettings(ConfigSection):
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
