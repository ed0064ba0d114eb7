"""`wildgate-build prepare`: what one Triton on one GPU loads, with engines from a cache that others share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from checkout import MODEL_REPOSITORY
from engine_detectors import F, K, S
from releases_under_test import release_fields
from typer.testing import CliRunner

from wildgate_build.cli import app
from wildgate_server.repository.engine_key import EngineKey, engine_digest
from wildgate_server.repository.model_configs import models_to_load
from wildgate_server.repository.releases import Canary, Rollout, file_digest

pytestmark = pytest.mark.usefixtures("tensorrt_rtx")

SHAPES = {"frames_per_window": F, "frame_side_px": S, "detections_per_frame": K}


@pytest.fixture
def repository(tmp_path: Path, detector: Path) -> Path:
    """Versions 1 to 3 of one small detector, of which 2 serves and 3 is on trial."""
    home = tmp_path / "repository"
    shutil.copytree(MODEL_REPOSITORY, home, ignore=shutil.ignore_patterns("wildlife_detector", "__*"))
    manifest = yaml.safe_load((home / "manifest.yaml").read_text())
    (home / "manifest.yaml").write_text(yaml.safe_dump(manifest | SHAPES))
    (home / "rollout.yaml").write_text("serving: 2\ncanary: {version: 3, share: 0.1}\n")
    for version in (1, 2, 3):
        folder = home / "wildlife_detector" / str(version)
        folder.mkdir(parents=True)
        shutil.copy(detector, folder / "model.onnx")
        files = {"model.onnx": file_digest(detector)}
        (folder / "release.yaml").write_text(yaml.safe_dump(release_fields(version, **SHAPES, files=files)))
    return home


def prepare(repository: Path, directory: Path) -> str:
    cache = repository.parent / "cache"
    done = CliRunner().invoke(
        app, ["prepare", str(repository), str(directory), "--profile", "rtx", "--cache", str(cache)]
    )
    assert done.exit_code == 0, done.output
    return done.output


def test_it_lays_out_what_answers_and_builds_each_engine_once(repository: Path, tmp_path: Path) -> None:
    first = prepare(repository, tmp_path / "one")
    assert (first.count("built in"), first.count("from the cache")) == (1, 1), "both versions are one file"
    models = tmp_path / "one" / "models"
    assert sorted(path.name for path in (models / "wildlife_detector").iterdir() if path.name.isdecimal()) == ["2", "3"]
    engine = models / "wildlife_detector" / "3" / "model.rtx"
    assert EngineKey.read(engine).engine_digest == engine_digest(engine.read_bytes())
    rollout = Rollout(serving=2, canary=Canary(version=3, share=0.1))
    wanted = [f"--load-model={model}" for model in models_to_load(rollout)]
    assert (tmp_path / "one" / "arguments").read_text().splitlines() == wanted
    assert all((models / option.partition("=")[2] / "config.pbtxt").is_file() for option in wanted)
    assert not [*repository.glob("**/model.rtx*")], "the shared repository is only read"
    assert prepare(repository, tmp_path / "two").count("from the cache") == 2


def test_an_engine_that_is_not_whole_is_built_again(repository: Path, tmp_path: Path) -> None:
    prepare(repository, tmp_path / "one")
    [cached] = (tmp_path / "cache").glob("*/model.rtx")
    cached.write_bytes(cached.read_bytes()[:100])
    assert "built in" in prepare(repository, tmp_path / "one")


def test_a_file_that_is_not_as_published_is_refused(repository: Path, tmp_path: Path) -> None:
    (repository / "wildlife_detector" / "3" / "model.onnx").write_bytes(b"other")
    done = CliRunner().invoke(
        app, ["prepare", str(repository), str(tmp_path / "one"), "--profile", "rtx", "--cache", str(tmp_path)]
    )
    assert (done.exit_code, "not the file that was published" in done.output) == (2, True)
