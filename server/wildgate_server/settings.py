"""Configuration, read once at start: the sections of all parts put together.

Precedence: command line > environment (`WILDGATE_...`) > YAML file (named by `WILDGATE_CONFIG`) > defaults.
`wildgate serve --help` lists every field.
"""

from __future__ import annotations

import os
import re
from argparse import ArgumentParser, HelpFormatter
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)

from wildgate_server.access.access_settings import AccessSettings
from wildgate_server.admission import AdmissionSettings
from wildgate_server.blocks.blocks_settings import BlocksSettings
from wildgate_server.box_settings import BoxSettings
from wildgate_server.budget import BudgetSettings
from wildgate_server.caching.verdict_cache import CacheSettings
from wildgate_server.drift import DriftSettings
from wildgate_server.endpoint import EndpointSettings
from wildgate_server.enforcement.enforcement_settings import EnforcementSettings
from wildgate_server.inference.batcher import BatchSettings
from wildgate_server.log import LogFormat, LogLevel
from wildgate_server.sampling.sampling_settings import SamplingSettings
from wildgate_server.source.source_settings import SourceSettings
from wildgate_server.tracing import TracingSettings
from wildgate_server.transport import ServerTls
from wildgate_server.triton.backend_settings import BackendSettings

__all__ = ["ServerSettings"]

_CONFIG_VARIABLE = "WILDGATE_CONFIG"


class ServerSettings(BaseSettings):
    """Runs the gateway, which scores videos over gRPC.

    Settings come from the command line, then from the environment (WILDGATE_SAMPLING__MAX_GAP_S=1), then from the YAML
    file that WILDGATE_CONFIG names. Several values are given with commas, or by repeating the option.
    """

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
            "blocks.directory": "block-list",
        },
        use_attribute_docstrings=True,
    )

    @classmethod
    def of_command_line(cls, args: list[str]) -> Self:
        """The settings with these arguments. Raises ValidationError, SettingsError; usage errors and `--help` exit."""
        # A section's own name cannot be a shortcut.
        args = [re.sub("^--enforcement(?==|$)", "--enforcement.directory", each) for each in args]
        source: CliSettingsSource[Self] = CliSettingsSource(
            cls, cli_parse_args=args, formatter_class=_ShortUsage, add_argument_method=_add_argument
        )
        return cls(_cli_settings_source=source)

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
            raise SettingsError(f"{_CONFIG_VARIABLE}: there is no file {file}")
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=file)

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
    log_level: LogLevel = "info"
    """Least severe log line that is written; SIGHUP has it read again."""
    log_format: LogFormat = "logfmt"
    """How log lines are written: `json` for what collects them."""

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


class _ShortUsage(HelpFormatter):
    """Leaves the options, of which there are dozens, to the list below the usage."""

    def add_usage(self, usage: str | None, *actions: Any, **options: Any) -> None:
        super().add_usage("%(prog)s [OPTION VALUE] ...", *actions, **options)


_IN_HELP = {
    r"tuple\[(.+),\.\.\.\]": r"\1,...",
    r"\{IPv4Network,IPv6Network\}": "network",
    "SecretStr": "url",
    "Path": "path",
    "str": "text",
}


def _add_argument(parser: ArgumentParser, *names: str, **options: Any) -> None:
    """Adds an option with a plain word for its values instead of Python's types, and no default that says nothing."""
    if "metavar" in options:
        for kind, word in _IN_HELP.items():
            options["metavar"] = re.sub(kind, word, options["metavar"])
        options["help"] = re.sub(r" \(default: (None|\(\))\)$", "", options["help"])
    parser.add_argument(*names, **options)
