"""The command line: what it offers, and that it says what is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_group
from typer.testing import CliRunner

from wildgate_build.cli import app

PATH = {"PYTHONPATH": os.pathsep.join(sys.path)}


COMMANDS = tuple(get_group(app).commands)


def test_these_are_the_commands() -> None:
    assert len(COMMANDS) == len(app.registered_commands)
    assert set(COMMANDS) == {
        *("import", "quantise", "half", "engine", "check"),
        *("publish", "canary", "promote", "rollback", "releases", "load"),
        *("train", "evaluate", "calibrate", "film", "samples"),
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    about = get_group(app).commands[command].help or ""
    assert len(about) > len(command)
    assert " ".join(about.split())[:20] in " ".join(result.output.split())


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "wildgate_build.cli", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | PATH)
    assert "quantise" in result.stdout


def test_a_missing_detector_is_named_with_the_command_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["evaluate"])
    assert result.exit_code == 2
    assert "wildgate-build train" in " ".join(result.output.split())
