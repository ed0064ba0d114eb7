"""Figures out of reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from publish_seam import make_repository, standard_file
from typer.testing import CliRunner

from wildgate_build.errors import PublishError
from wildgate_build.publish.commands import publish
from wildgate_build.publish.measurements import read_measurements
from wildgate_build.standard_file import file_digest


def written(file: Path, content: object) -> Path:
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_numbers_are_taken_by_name_and_nothing_else(tmp_path: Path) -> None:
    report = {"recall": 0.97, "videos": 120, "clean": True, "note": "fine", "int8": {"map50": 0.86, "by": [1, 2]}}
    other = {"recall": 0.97, "speed": 1.8}
    reports = [written(tmp_path / "a.json", report), written(tmp_path / "b.json", other)]
    assert read_measurements(reports, {}) == {"recall": 0.97, "videos": 120.0, "int8.map50": 0.86, "speed": 1.8}
    assert read_measurements([], {}) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ([1, 2], "is a list, not an object"),
        ({"note": "fine"}, "holds no figures"),
        ('{"recall": NaN}', "holds no figures"),
        ({"recall": 0.5}, "recall is 0.5, another report says 0.97"),
    ],
)
def test_a_bad_report_is_named(tmp_path: Path, content: object, message: str) -> None:
    first = written(tmp_path / "first.json", {"recall": 0.97})
    bad = written(tmp_path / "bad.json", content)
    with pytest.raises(PublishError, match=rf"bad\.json: {message}"):
        read_measurements([first, bad], {})


OURS = {Path("cpu.onnx"): f"blake3:{1:064x}", Path("gpu.onnx"): f"blake3:{2:064x}"}


def test_reports_of_the_files_that_are_published(tmp_path: Path) -> None:
    for digest in (*OURS.values(), None):
        report = written(tmp_path / "report.json", {"loss": 0.004, "refused": False, "output_digest": digest})
        assert read_measurements([report], OURS) == {"loss": 0.004}


def test_the_report_of_another_file_is_refused(tmp_path: Path) -> None:
    report = written(tmp_path / "report.json", {"loss": 0.004, "output_digest": f"blake3:{3:064x}"})
    ours = r"cpu\.onnx \(blake3:0+1\) nor gpu\.onnx \(blake3:0+2\)"
    with pytest.raises(PublishError, match=rf"report\.json: is of the file blake3:0+3, which is not {ours}"):
        read_measurements([report], OURS)


def test_the_report_of_what_was_refused_is_refused(tmp_path: Path) -> None:
    report = written(tmp_path / "report.json", {"loss": 0.2, "refused": True})
    with pytest.raises(PublishError, match=r"report\.json: says that what it measured was refused"):
        read_measurements([report], OURS)


def test_publish_goes_by_the_digests_of_its_two_files(tmp_path: Path) -> None:
    repository = make_repository(tmp_path, 1).path
    detector = standard_file(tmp_path / "cpu.onnx", precision="int8")
    engines = standard_file(tmp_path / "gpu.onnx", precision="fp16")
    other = standard_file(tmp_path / "other.onnx", name="other")
    app = typer.Typer()
    app.command()(publish)
    files = [str(detector), "--for-engines", str(engines), "--repository", str(repository)]
    for measured, code, version in ((other, 2, 2), (detector, 0, 2), (engines, 0, 3)):
        report = written(tmp_path / "report.json", {"loss": 0.004, "output_digest": file_digest(measured)})
        done = CliRunner().invoke(app, [*files, "--report", str(report)])
        assert done.exit_code == code, done.output
        assert (repository / "wildlife_detector" / str(version)).is_dir() is (code == 0)
