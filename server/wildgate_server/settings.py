"""Configuration, read once at start: the sections of all parts put together.

Precedence: command line > environment (`WILDGATE_...`) > files in `WILDGATE_SECRETS` > YAML file `WILDGATE_CONFIG` >
defaults.
`wildgate serve --help` lists every field.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from wildgate_server.access.access_settings import AccessSettings
from wildgate_server.admission import AdmissionSettings
from wildgate_server.blocks.blocks_settings import BlocksSettings
from wildgate_server.box_settings import BoxSettings
from wildgate_server.budget import BudgetSettings
from wildgate_server.caching.verdict_cache import CacheSettings
from wildgate_server.command_line import CommandSettings
from wildgate_server.drift import DriftSettings
from wildgate_server.endpoint import EndpointSettings
from wildgate_server.enforcement.enforcement_settings import EnforcementSettings
from wildgate_server.inference.batcher import BatchSettings
from wildgate_server.sampling.sampling_settings import SamplingSettings
from wildgate_server.source.source_settings import SourceSettings
from wildgate_server.tracing import TracingSettings
from wildgate_server.transport import ServerTls
from wildgate_server.triton.backend_settings import BackendSettings

__all__ = ["ServerSettings"]


class ServerSettings(CommandSettings):
    """Runs the gateway, which scores videos over gRPC.

    Settings come from the command line, then from the environment (WILDGATE_SAMPLING__MAX_GAP_S=1), then from the files
    of the directory WILDGATE_SECRETS (cache__redis_url), then from the YAML file that WILDGATE_CONFIG names. Several
    values are given with commas, or by repeating the option. SIGHUP reads --log-level, --policy and the rollout again.
    """

    model_config = SettingsConfigDict(
        env_prefix="WILDGATE_",
        cli_prog_name="wildgate serve",
        cli_shortcuts={
            "endpoint.address": "listen",
            "endpoint.metrics": "metrics",
            "backend.target": "triton",
            "backend.model-repository": "model-repository",
            "source.file-roots": "file-root",
            "blocks.directory": "block-list",
        },
    )
    _shortcuts: ClassVar = {"--enforcement": "--enforcement.directory"}

    endpoint: EndpointSettings = EndpointSettings()
    access: AccessSettings = AccessSettings()
    tls: ServerTls = ServerTls()
    box: BoxSettings = BoxSettings()
    source: SourceSettings = SourceSettings()
    sampling: SamplingSettings = SamplingSettings()
    budget: BudgetSettings = BudgetSettings()
    admission: AdmissionSettings = AdmissionSettings()
    cache: CacheSettings = CacheSettings()
    batch: BatchSettings = BatchSettings()
    backend: BackendSettings = BackendSettings()
    blocks: BlocksSettings = BlocksSettings()
    enforcement: EnforcementSettings = EnforcementSettings()
    tracing: TracingSettings = TracingSettings()
    drift: DriftSettings = DriftSettings()
    policy: Path | None = None
    """Policy file; the shipped one by default."""

    @field_validator("sampling")
    @classmethod
    def _outlasts_fetching(cls, sampling: SamplingSettings, info: ValidationInfo) -> SamplingSettings:
        source: SourceSettings | None = info.data.get("source")  # None when it has faults of its own
        if source is not None and source.fetch_timeout_s >= sampling.timeout_s:
            raise ValueError(
                f"source.fetch_timeout_s ({source.fetch_timeout_s:g}) must be less than "
                f"sampling.timeout_s ({sampling.timeout_s:g})"
            )
        return sampling
