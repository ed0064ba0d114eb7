"""The commands about the reference detector, run as from a shell."""

from pathlib import Path

import pytest
import typer
from constant_detector import write_constant_detector
from typer.testing import CliRunner

from wildgate_detector import measuring
from wildgate_detector.stamps import Stamps

app = typer.Typer()
app.command()(measuring.evaluate)
app.command()(measuring.calibrate)

CLIPS = ["--clips", "1", "--harmless", "1", "--misleading", "0", "--disturbed", "1"]
LITTLE = [*CLIPS, "--frames", "8", "--processes", "1"]
SEED = ["--seed", "902"]


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["evaluate", *arguments], env={"COLUMNS": "400"})
    return result.exit_code, " ".join(result.output.split())


def test_a_missing_graph_is_named(tmp_path: Path) -> None:
    code, told = run("--model", str(tmp_path / "none.onnx"))
    assert code == 2
    assert "none.onnx" in told


def test_the_graph_to_compare_with_must_exist_too(tmp_path: Path) -> None:
    model = write_constant_detector(tmp_path / "a.onnx", 0.9, 64)
    code, told = run("--model", str(model), "--against", str(tmp_path / "none.onnx"))
    assert code == 2
    assert "none.onnx" in told


@pytest.mark.timeout(400)
def test_what_sees_tusks_everywhere_finds_them_and_raises_false_alarms(stamps: Stamps, tmp_path: Path) -> None:
    model = write_constant_detector(tmp_path / "a.onnx", 0.99, 64)
    code, told = run(*LITTLE, *SEED, "--model", str(model), "--keep", str(tmp_path / "clips"))
    assert code == 1
    assert "video-level recall 1.000 at least 0.90 met (1 of 1 labels)" in told
    assert "false alarms, harmless clips 1.000 at most 0.01 MISSED (1 of 1 clips)" in told
    assert "harmless_0001.mp4: shows nothing, found elephant_tusk" in told
    assert "mAP50" in told
    for disturbance in ("low bit rate", "mirrored", "20 % crop", "overlay text", "brightness", "letterbox bars"):
        assert f"recall, {disturbance} 1.000 at least 0.85 met" in told
    assert len(list((tmp_path / "clips").iterdir())) == 2 + 6


@pytest.mark.timeout(400)
def test_two_graphs_are_compared_on_the_same_clips(stamps: Stamps, tmp_path: Path) -> None:
    sees = write_constant_detector(tmp_path / "sees.onnx", 0.99, 64)
    blind = write_constant_detector(tmp_path / "blind.onnx", 0.06, 64)
    code, told = run(*LITTLE, *SEED, "--disturbed", "0", "--model", str(sees), "--against", str(blind))
    assert code == 0
    assert "video-level recall │ 1.0000 │ 0.0000 │ -1.0000" in told
    assert "false alarms, harmless clips │ 1.0000 │ 0.0000 │ -1.0000" in told
