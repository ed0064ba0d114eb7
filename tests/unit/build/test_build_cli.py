"""The command line: what it offers, its own commands and those of other packages."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wildgate_build.cli import ENTRY_POINTS, app

COMMANDS = {
    *("import", "quantise", "half", "engine", "check"),
    *("publish", "canary", "promote", "rollback", "releases", "prepare"),
}


def said(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    return result.exit_code, result.output


def test_these_are_the_commands() -> None:
    code, output = said("--help")
    listed = {line.split()[1] for line in output.splitlines() if line.startswith("│") and line[2:3].isalpha()}
    assert (code, listed) == (0, COMMANDS | {point.name for point in entry_points(group=ENTRY_POINTS)})


@pytest.fixture
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with a command that prints its arguments, and returns how many they are."""
    (tmp_path / "other_package.py").write_text(
        'def shown(args: list[str]) -> int:\n    """Show the arguments."""\n    print(args)\n    return len(args)\n'
    )
    metadata = tmp_path / "other_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: other-package\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\nshow = other_package:shown\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("other_package")
def test_commands_of_other_packages_get_all_arguments_and_give_the_exit_status() -> None:
    assert said("show", "--triton", "here", "--help", "x") == (4, "['--triton', 'here', '--help', 'x']\n")
    assert said("show") == (0, "[]\n")
    assert "Show the arguments." in said("--help")[1]
