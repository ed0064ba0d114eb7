"""`wildgate-build quantise` and `wildgate-build half`: what they write, and what they refuse."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
import typer
from checkout import ROOT
from colour_detector import colour_detector, write_detector, write_video
from typer.testing import CliRunner

from wildgate_build.precision.commands import half, quantise
from wildgate_build.standard_file import StandardFile, file_digest

app = typer.Typer()
app.command()(quantise)
app.command()(half)

BOTH = pytest.mark.parametrize("command", ["quantise", "half"])


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number in range(2):
        write_video(folder / f"{number}.mp4", first=40 * number)
    return folder


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    return write_detector(tmp_path / "model.onnx")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "new" / "model.onnx"


@pytest.fixture(autouse=True)
def folder(output: Path) -> Path:
    output.parent.mkdir()
    return output.parent


def run(command: str, detector: Path, videos: Path, output: Path, *more: str) -> tuple[int, str]:
    repository = ROOT / "model_repository"
    places = ["--videos", str(videos), "--output", str(output), "--repository", str(repository)]
    result = CliRunner().invoke(app, [command, str(detector), *places, *more], env={"COLUMNS": "40"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@BOTH
def test_it_writes_the_file_and_the_report(command: str, detector: Path, videos: Path, output: Path) -> None:
    report = output.with_suffix(".json")
    code, said = run(command, detector, videos, output, "--report", str(report), "--max-loss", "0.05")
    assert code == 0, said
    assert f"wrote {output}" in said
    assert "times fp32's" in said
    precision = {"quantise": "int8", "half": "fp16"}[command]
    assert StandardFile.read(output).properties.precision == precision
    figures = json.loads(report.read_text())
    assert (figures["precision"], figures["refused"], figures["max_loss"]) == (precision, False, 0.05)
    assert figures["detector_digest"] == StandardFile.read(detector).digest
    assert figures["output_digest"] == file_digest(output)
    assert figures["loss"] == figures["accuracy"]["loss"]
    assert figures["bytes"]["new"] == output.stat().st_size
    assert {path.name for path in output.parent.iterdir()} == {"model.onnx", "model.json"}


def test_the_runtime_is_told_in_the_report(detector: Path, videos: Path, output: Path) -> None:
    report = output.with_suffix(".json")
    more = ("--runtime", "tensorrt", "--method", "percentile", "--frames", "16", "--max-loss", "0.1")
    assert run("quantise", detector, videos, output, *more, "--report", str(report))[0] == 0
    figures = json.loads(report.read_text())
    assert (figures["for_runtime"], figures["method"], figures["calibration_frames"]) == ("tensorrt", "percentile", 16)
    assert len(figures["left_in_fp32"]) == 2
    assert figures["operators"] == {"int8": 3, "all": 5}
    assert figures["compared_on"] == "held-out frames of other videos"


def test_bars_are_left_out_where_it_is_asked_for(detector: Path, videos: Path, output: Path) -> None:
    more = ("--max-loss", "0.1", "--leave-out-bars")
    assert run("quantise", detector, videos, output, *more)[0] == 0
    assert "Slice" in {node.op_type for node in onnx.load(output).graph.node if "FRAMES" in node.input}
    assert StandardFile.read(output).properties.precision == "int8"
    code, said = run("quantise", detector, videos, output, *more, "--runtime", "tensorrt")
    assert code == 2
    assert "bars can be left out on CPUs alone" in said.replace("\n", " ")


def test_int8_without_int8_is_refused(detector: Path, videos: Path, output: Path) -> None:
    report = output.with_suffix(".json")
    assert run("quantise", detector, videos, output, "--max-loss", "0.1", "--report", str(report))[0] == 0
    nodes = [node.name for node in onnx.load(output).graph.node if node.name.startswith("int8_")]
    own = [name.removeprefix("int8_") for name in nodes if name.startswith(("int8_Conv", "int8_Add"))]
    output.unlink()
    more = [word for name in own for word in ("--exclude", name)]
    code, said = run("quantise", detector, videos, output, "--report", str(report), *more)
    assert code == 1
    assert "refused: 0 of 5 operators are in INT8, at least 50% have to be; no detector written" in said
    figures = json.loads(report.read_text())
    assert (figures["refused"], figures["operators"]) == (True, {"int8": 0, "all": 5})
    assert "output_digest" not in figures
    assert not output.exists()


def cut(folder: Path) -> Path:
    file = folder / "cut.onnx"
    file.write_bytes(write_detector(file).read_bytes()[:700])
    return file


def not_a_video(folder: Path) -> Path:
    (folder / "notes.mp4").write_text("not a video")
    return folder / "notes.mp4"


def empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def grey(folder: Path) -> Path:
    return write_video(folder / "grey.mp4", seconds=80, paint=lambda _, w, h: np.full((h, w, 3), 114, np.uint8))


@BOTH
@pytest.mark.parametrize(
    ("make_detector", "make_videos", "more", "message"),
    [
        (cut, None, (), "cut.onnx: "),
        (
            lambda folder: write_detector(folder / "done.onnx", precision="int8"),
            None,
            (),
            "done.onnx: is int8 already;",
        ),
        (
            lambda folder: write_detector(folder / "poor.onnx", labels=("rhino_horn",)),
            None,
            (),
            "poor.onnx: answered class 1, it has 1 labels (0 to 0)",
        ),
        (None, not_a_video, (), "notes.mp4: "),
        (None, empty, (), "no file in"),
        (None, lambda folder: folder / "away", (), "no such file or folder"),
        (
            None,
            lambda folder: write_video(folder / "v.mp4", seconds=8),
            (),
            "4 frames to calibrate on, at least 16 are",
        ),
        (None, grey, (), "detects nothing in 20 held-out frames"),
        (None, None, ("--exclude", "Conv_77"), "'Conv_77' is not a node of the network's body; near it: Conv_"),
        (
            None,
            None,
            ("--exclude", "zzz"),
            "'zzz' is not a node of the network's body; near it: nothing like it",
        ),
        (None, None, ("--output", "nowhere/model.onnx"), "nowhere/model.onnx: there is no folder"),
    ],
)
def test_what_is_refused_is_named_and_what_lay_there_stays(
    command: str,
    tmp_path: Path,
    detector: Path,
    videos: Path,
    output: Path,
    make_detector: Callable[[Path], Path] | None,
    make_videos: Callable[[Path], Path] | None,
    more: tuple[str, ...],
    message: str,
) -> None:
    output.write_bytes(b"the old one")
    refused = make_detector(tmp_path) if make_detector else detector
    code, said = run(command, refused, make_videos(tmp_path) if make_videos else videos, output, *more)
    assert code == 2
    assert message in said
    assert {path.name: path.read_bytes() for path in output.parent.iterdir()} == {"model.onnx": b"the old one"}


def test_past_the_loss_only_the_report_is_written(tmp_path: Path, videos: Path, output: Path) -> None:
    spoilt = write_detector(tmp_path / "spoilt.onnx", colour_detector(outlier=300))
    report = tmp_path / "report.json"
    code, said = run("quantise", spoilt, videos, output, "--search-minutes", "0", "--report", str(report))
    assert code == 1
    assert "refused: the loss is 0." in said
    assert "at most 0.01 is allowed; no detector written" in said
    assert not list(output.parent.iterdir())
    assert json.loads(report.read_text())["refused"] is True


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a full disk, writing fails half way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_leaves_nothing_behind(detector: Path, videos: Path, output: Path) -> None:
    assert os.path.getsize(detector) > 10_000
    with files_of_at_most(10_000):
        code, said = run("half", detector, videos, output)
    assert code == 2
    assert f"{output}: cannot be written" in said
    assert not list(output.parent.iterdir())


def test_a_scratch_disk_that_is_full_is_named(
    detector: Path, videos: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(output.parent))
    monkeypatch.setattr("tempfile.tempdir", None)
    with files_of_at_most(2_000):
        code, said = run("quantise", detector, videos, output)
    assert code == 2
    assert "wildgate-build: " in said
    assert not list(output.parent.iterdir())
