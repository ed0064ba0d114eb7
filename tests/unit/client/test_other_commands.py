from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from wildgate_client.other_commands import GROUP, add_other_commands


def run(installed: metadata.EntryPoints, *arguments: str) -> Result:
    app = typer.Typer()
    app.command("score")(lambda: None)
    add_other_commands(app, installed)
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> metadata.EntryPoints:
    """A distribution as pip installs it, with a command of each kind."""
    (tmp_path / "brought.py").write_text("def run(args):\n    print(args)\n    return 7\n")
    (tmp_path / "lacking.py").write_text("import no_such_library\n")
    (tmp_path / "broken.py").write_text("import wildgate_client.no_such_module\n")
    info = tmp_path / "extras-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extras\nVersion: 1\n")
    commands = "serve = brought:run\ncapacity = lacking:run\nlabel = lacking:run\nbroken = broken:run\n"
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{commands}")
    monkeypatch.syspath_prepend(tmp_path)
    return metadata.PathDistribution(info).entry_points.select(group=GROUP)


@pytest.mark.parametrize("arguments", [["--help"], ["--listen", "127.0.0.1:0", "--verbose", "-x", "words"], []])
def test_an_installed_command_gets_its_arguments_untouched(installed: metadata.EntryPoints, arguments: list[str]):
    result = run(installed, "serve", *arguments)
    assert (result.exit_code, result.stdout) == (7, f"{arguments}\n")


@pytest.mark.parametrize(
    ("command", "needs", "distribution"),
    [("capacity", "no_such_library", "wildgate-perf"), ("label", "no_such_library", "extras")],
)
def test_a_missing_library_is_named_with_what_brings_it(
    installed: metadata.EntryPoints, command: str, needs: str, distribution: str
):
    result = run(installed, command)
    assert result.exit_code == 2
    assert result.stderr == f"wildgate {command}: needs {needs}; install it with: pip install {distribution}\n"


def test_a_broken_installation_is_not_taken_for_a_missing_library(installed: metadata.EntryPoints):
    assert isinstance(run(installed, "broken").exception, ModuleNotFoundError)


@pytest.mark.parametrize(("command", "distribution"), [("serve", "wildgate"), ("capacity", "wildgate-perf")])
def test_a_command_that_is_not_installed_says_what_to_install(command: str, distribution: str):
    result = run(metadata.EntryPoints(), command, "--help")
    assert result.exit_code == 2
    assert result.stderr == f"wildgate {command}: needs {distribution}; install it with: pip install {distribution}\n"


def test_help_lists_what_is_installed_without_loading_it(installed: metadata.EntryPoints):
    result = run(installed, "--help")
    assert result.exit_code == 0, "some of them cannot be loaded"
    assert "Run the server" in result.stdout
    assert "Brought by extras." in result.stdout
