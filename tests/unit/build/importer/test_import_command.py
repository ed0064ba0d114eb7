"""`wildgate-build import`: options, sizes from the manifest, exit status."""

from pathlib import Path

import networks
import onnx
import pytest
import typer
from checkout import MODEL_REPOSITORY
from typer.testing import CliRunner

from wildgate_build.importer.commands import import_detector
from wildgate_build.standard_file import StandardFile

app = typer.Typer()
app.command()(import_detector)


def invoked(folder: Path, *options: str) -> tuple[int, str]:
    onnx.save_model(networks.yolov8(4, seed=4), folder / "network.onnx")
    (folder / "labels.txt").write_text("a\nb\nc = -\nd = a\n")
    ends = ["--labels", str(folder / "labels.txt"), "--output", str(folder / "out.onnx")]
    result = CliRunner().invoke(app, [str(folder / "network.onnx"), "--name", "thing", *ends, *options])
    return result.exit_code, result.output


def test_a_detector_is_imported(tmp_path: Path) -> None:
    code, said = invoked(tmp_path, "--side", "96", "--frames", "2", "--detections", "8", "--family", "yolov8")
    assert code == 0
    written = StandardFile.read(tmp_path / "out.onnx")
    assert (written.side, written.frames, written.detections) == (96, 2, 8)
    assert "frames of 96 pixels are resized to the network's 64" in said
    assert written.digest in said
    assert "a, b" in said


def test_sizes_come_from_the_manifest(tmp_path: Path) -> None:
    code, _ = invoked(tmp_path, "--repository", str(MODEL_REPOSITORY), "--frames", "1")
    assert code == 0
    written = StandardFile.read(tmp_path / "out.onnx")
    assert (written.side, written.frames, written.detections) == (320, 1, 16)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--family", "detr"), "lists 4 classes, the network has 80"),
        (("--family", "yolov3"), "yolov3"),
        (("--least-score", "2"), "least"),
        (("--value-range", "0-2"), "0-2"),
    ],
)
def test_bad_input_ends_with_2_and_writes_nothing(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    code, output = invoked(tmp_path, "--side", "64", "--frames", "1", "--detections", "8", *options)
    assert code == 2
    assert said in " ".join(output.split())
    assert not (tmp_path / "out.onnx").exists()
