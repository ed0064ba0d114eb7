"""`wildgate-build load`: its options, what it refuses, and its exit status. Loading itself is an integration test's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from checkout import MODEL_REPOSITORY

from wildgate_server.repository.lock import LockRefused, locked
from wildgate_server.rollout.load_command import load_command


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("manifest.yaml", "rollout.yaml"):
        shutil.copy(MODEL_REPOSITORY / name, tmp_path)
    return tmp_path


def test_help_names_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert load_command(["--help"]) == 0
    said = capsys.readouterr().out
    for part in (
        "wildgate-build load",
        "--triton",
        "--repository",
        "--settle-s",
        "WILDGATE_TRITON_SECRET",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--triton", "127.0.0.1:1"], "wildgate-build: 127.0.0.1:1: Triton does not tell what it has loaded"),
        (["--triton", "127.0.0.1:1", "--repository", "nowhere"], "nowhere: cannot be opened"),
        ([], "--triton"),
    ],
)
def test_what_is_refused_is_said_and_ends_with_2(
    repository: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert load_command(["--repository", str(repository), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_repository_that_another_command_writes_is_left_alone(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(repository):
        assert load_command(["--repository", str(repository), "--triton", "127.0.0.1:1"]) == 2
        with pytest.raises(LockRefused, match="try again when it is done"), locked(repository):
            pass
    assert "another command is writing it" in " ".join(capsys.readouterr().err.split())
    with locked(repository):
        pass  # the lock went with its holder
