"""Every command that README and docs/ tell a reader to type, held against what reads it."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Final

import pytest
from checkout import ROOT
from pydantic import ValidationError
from typer.testing import CliRunner

from wildgate_build.cli import app as build_app
from wildgate_client.commands import app as client_app
from wildgate_enforcement.settings import EnforcementSettings
from wildgate_search.settings import ScreeningSettings
from wildgate_server.blocks_command import BlockServiceSettings
from wildgate_server.settings import ServerSettings

DOCUMENTS: Final = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
APPS: Final = {"wildgate": client_app, "wildgate-build": build_app}
SERVERS: Final[dict[tuple[str, ...], Any]] = {
    ("serve",): ServerSettings,
    ("blocks", "serve"): BlockServiceSettings,
    ("enforce",): EnforcementSettings,
    ("screening",): ScreeningSettings,
}
TARGETS: Final = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
EXTRAS: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
MADE_BY_THE_READER: Final = {"deploy/kubernetes/ours", "deploy/secrets", "perf/results/sweep.json"}
OURS: Final = re.compile(r"(?:deploy|demo|perf|samples|tests)/[\w./*-]*\w")


def blocks_of(text: str) -> Iterator[str]:
    """What stands after a prompt, continuations joined, and what stands between backticks in a sentence."""
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        joined = re.sub(r"\n>|\\\n", " ", block)
        yield from re.findall(r"^\$ (.*)$", joined, re.MULTILINE)
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    yield from (
        " ".join(span.split()) for span in re.findall(r"`((?:make|wildgate|wildgate-build|python -m) [^`]+)`", prose)
    )


def commands_of(line: str) -> Iterator[list[str]]:
    """The commands of a line of shell, without variables set for them and what comes after a redirection."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split, lexer.commenters = True, "#"
    words: list[str] = []
    for token in [*lexer, ";"]:
        if set(token) <= set("|&;<>"):
            while words and re.match(r"^\w+=", words[0]):
                words.pop(0)
            if words:
                yield words
            words = []
        else:
            words.append(token)


def documented() -> Iterator[Any]:
    for document in DOCUMENTS:
        lines = dict.fromkeys(blocks_of(document.read_text()))
        yield from (pytest.param(line, id=f"{document.name}: {line[:60]}") for line in lines)


@pytest.mark.parametrize("line", list(documented()))
def test_a_command_of_the_docs_is_understood(line: str) -> None:
    for path in OURS.findall(line):
        assert path in MADE_BY_THE_READER or any(ROOT.glob(path)), f"there is no {path}"
    for name, *args in commands_of(line):
        match name.removeprefix(".venv/bin/"):
            case "make":
                assert {target for target in args if "=" not in target and target.islower()} <= TARGETS
            case "wildgate" | "wildgate-build" as command if args:
                understand(command, args)
            case "python" if args[0] == "-m":
                assert find_spec(args[1]), f"there is no module {args[1]}"
            case "pip":
                wanted = ",".join(re.findall(r"\.\[([^]]+)\]", line)).split(",")
                assert {extra for extra in wanted if extra} <= EXTRAS.keys() | {"cli"}


def understand(command: str, args: list[str]) -> None:
    """Fails where the command does not know a subcommand or an option. What values mean is not looked at."""
    args = [each for each in args if each != "--help"]
    if command == "wildgate":
        for words, settings in SERVERS.items():
            if tuple(args[: len(words)]) == words:
                understand_settings(settings, args[len(words) :])
                return
    result = CliRunner().invoke(APPS[command], [*args, "--help"])
    assert result.exit_code == 0, result.output


def understand_settings(settings: Any, args: list[str]) -> None:
    try:
        settings.of_command_line(args)
    except ValidationError as error:
        unknown = [fault for fault in error.errors() if fault["type"] == "extra_forbidden"]
        assert not unknown, unknown
