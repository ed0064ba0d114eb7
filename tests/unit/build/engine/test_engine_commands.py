"""`wildgate-build engine`: what it writes, what it says, and that bad input changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from wildgate_build.engine.commands import engine
from wildgate_build.standard_file import file_digest
from wildgate_server.repository.engine_key import EngineKey

pytestmark = pytest.mark.usefixtures("tensorrt_rtx")

app = typer.Typer()
app.command()(engine)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def said(result: Result) -> str:
    return " ".join(result.output.split())


def content(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_engine_and_its_key_go_beside_the_detector(detector: Path, model_repository: Path) -> None:
    result = run(detector, "--target", "rtx", "--repository", model_repository)
    assert result.exit_code == 0, result.output
    file = detector.with_suffix(".rtx")
    key = EngineKey.read(file)
    assert key.engine_bytes == file.stat().st_size
    assert key.max_batch == 16  # the manifest's
    assert "runs on 8.0 and later" in said(result)
    assert f"{detector}, {key.onnx_digest}" in result.output, "whole, to be copied"
    assert sorted(content(detector.parent)) == sorted(map(str, (detector, file, f"{file}.json")))


def test_a_published_versions_engine_goes_where_triton_looks_for_it(detector: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    home = repository / "wildlife_detector" / "3"
    home.mkdir(parents=True)
    (repository / "rollout.yaml").write_text("serving: 3\n")
    (home / "model.onnx").write_bytes(b"what CPUs take")
    shutil.copy(detector, home / "engine.onnx")
    result = run("--target", "rtx", "--repository", repository, "--max-batch", "2")
    assert result.exit_code == 0, result.output
    assert EngineKey.read(home / "model.rtx").onnx_digest == file_digest(detector)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100])


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (truncate, ["--max-batch", "2"], "cannot be read as ONNX"),
        (Path.unlink, ["--max-batch", "2"], "there is no such file"),
        (None, ["--max-batch", "2", "--architecture", "9.0"], "not '9.0'"),
        (None, ["--max-batch", "2", "--timing-cache", "timings"], "keeps a runtime cache"),
        (None, ["--max-batch", "2", "--output", "nowhere/model.rtx"], "there is no folder nowhere"),
        (None, ["--repository", "nowhere"], "nowhere/manifest.yaml: cannot be read"),
        (None, ["--version", "1"], "give DETECTOR.onnx or --version, not both"),
        (None, ["--max-batch", "2", "--output", "detector.onnx"], "is the file that is read"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(
    detector: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path], None] | None,
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(detector.parent)
    assert run(detector, "--target", "rtx", "--max-batch", "2").exit_code == 0
    if spoil:
        spoil(detector)
    before = content(detector.parent)
    result = run(detector, "--target", "rtx", *options)
    assert result.exit_code == 2
    assert message in said(result)
    assert content(detector.parent) == before
