"""The command line: what it offers, and that it says what is missing."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from wildgate_build.cli import app


@pytest.mark.parametrize("command", ["train", "evaluate", "calibrate", "samples"])
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0


def test_a_missing_detector_is_named_with_the_command_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["evaluate"])
    assert result.exit_code == 2
    assert "wildgate-build train" in " ".join(result.output.split())
