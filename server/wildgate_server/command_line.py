"""How each server's settings are read: command line, environment, files of secrets, a YAML file, defaults."""

from __future__ import annotations

import os
import re
from argparse import ArgumentParser, HelpFormatter
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

import yaml
from pydantic import BaseModel
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from wildgate_server.log import LogFormat, LogLevel

__all__ = ["CommandSettings"]

_PROJECT = "wildgate_"
_DELIMITER = "__"
_OTHERS = frozenset({"enforce", "screening"})  # servers whose variables begin as the gateway's do
_ALIKE = 0.8
_LARGEST_SECRET = 64 << 10


class CommandSettings(BaseSettings):
    """Settings of one server.

    They come from the command line, then from the environment, then from the files of the directory that PREFIX_SECRETS
    names, each called after its variable without the prefix (`cache__redis_url`), then from the YAML file that
    PREFIX_CONFIG names. A variable that looks like a setting and is none is refused: it would say nothing.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_nested_delimiter=_DELIMITER,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_avoid_json=True,
        cli_hide_none_type=True,
        use_attribute_docstrings=True,
    )
    _shortcuts: ClassVar[dict[str, str]] = {}
    """Short names of sections, which cannot be shortcuts otherwise: option to option."""

    check: bool = False
    """Only looks whether the configuration is good, says so, and exits: 0 if it is, 2 if it is not."""
    log_level: LogLevel = "info"
    """Least severe log line that is written."""
    log_format: LogFormat = "logfmt"
    """How log lines are written: `json` for what collects them."""

    @classmethod
    def of_command_line(cls, args: list[str]) -> Self:
        """The settings with these arguments. Raises ValidationError, SettingsError; usage errors and `--help` exit."""
        for short, whole in cls._shortcuts.items():
            args = [re.sub(f"^{short}(?==|$)", whole, each) for each in args]
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
        """Where values come from; raises SettingsError for variables and files that cannot be used."""
        prefix = cls.model_config["env_prefix"]
        cls._check_environment(prefix)
        sources = [init_settings, env_settings]
        if directory := os.environ.get(name := f"{prefix}SECRETS"):
            sources.append(InitSettingsSource(settings_cls, cls._secrets(name, Path(directory))))
        if file := os.environ.get(name := f"{prefix}CONFIG"):
            sources.append(InitSettingsSource(settings_cls, _document(name, Path(file))))
        return tuple(sources)

    @classmethod
    def _check_environment(cls, prefix: str) -> None:
        known = {*_names(cls), "config", "secrets"}
        sections = {name.partition(_DELIMITER)[0] for name in known}
        for variable in os.environ:
            if not variable.lower().startswith(prefix.lower()):
                continue
            name = variable.lower().removeprefix(prefix.lower())
            section, is_nested, _ = name.partition(_DELIMITER)
            if section in sections or (section in _OTHERS and is_nested):
                continue  # what is wrong within a section, its own check says
            alike = get_close_matches(name, known, 1, _ALIKE)
            # Kubernetes and the client have variables that begin with the project's name, too.
            if is_nested or alike or prefix.lower() != _PROJECT:
                hint = f"; did you mean {prefix}{alike[0].upper()}?" if alike else ""
                raise SettingsError(f"{variable}: there is no such setting{hint}")

    @classmethod
    def _secrets(cls, variable: str, directory: Path) -> dict[str, Any]:
        if not directory.is_dir():
            raise SettingsError(f"{variable}: there is no directory {directory}")
        known, values = {*_names(cls)}, dict[str, Any]()
        for file in sorted(directory.iterdir()):
            if file.name.startswith(".") or not file.is_file():  # Kubernetes keeps versions in hidden directories
                continue
            if (name := file.name.lower()) not in known:
                raise SettingsError(f"{variable}: {file}: there is no setting of this name")
            *sections, last = name.split(_DELIMITER)
            within = values
            for section in sections:
                within = within.setdefault(section, {})
            try:
                with file.open(encoding="utf-8") as opened:
                    within[last] = opened.read(_LARGEST_SECRET).strip()
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(f"{variable}: {file}: {getattr(error, 'strerror', 'is not UTF-8')}") from None
        return values


def _document(variable: str, file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise SettingsError(f"{variable}: there is no file {file}")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}: {file} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{variable}: {file} is not YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{variable}: {file} holds no settings by name")
    return content


def _names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Names of all settings, sections and what is in them, as variables have them without the project's name."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _names(kind, f"{prefix}{name}{_DELIMITER}")


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
