"""The embedded Triton's copy of the repository, and what it is told to load."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from checkout import MODEL_REPOSITORY

from wildgate_server.repository.releases import Canary, ChangingRollout, Rollout
from wildgate_server.triton.backend_settings import BackendSettings
from wildgate_server.triton.launch import (
    Launch,
    lay_out_models,
    server_command,
    touch_model,
)
from wildgate_server.triton.runtime import TritonRuntime

SERVING = Rollout(serving=1)
TRIAL = Rollout(serving=1, canary=Canary(version=2, share=0.5))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The shipped repository with a second version of the detector, and a third one half published."""
    uncompiled = shutil.ignore_patterns("__pycache__")
    copy = Path(shutil.copytree(MODEL_REPOSITORY, tmp_path / "repository", ignore=uncompiled))
    shutil.copytree(copy / "wildlife_detector" / "1", copy / "wildlife_detector" / "2")
    shutil.copytree(copy / "wildlife_detector" / "1", copy / "wildlife_detector" / ".unfinished-7" / "3")
    return copy


@pytest.fixture
def settings(repository: Path, tmp_path: Path) -> BackendSettings:
    return BackendSettings(model_repository=repository, log_dir=tmp_path / "state", instances=3)


def lines(file: Path) -> list[str]:
    return [line.strip() for line in file.read_text().splitlines()]


def test_configs_are_rendered_for_the_machine_and_files_are_links(settings: BackendSettings, tmp_path: Path) -> None:
    models = tmp_path / "models"
    lay_out_models(models, settings, SERVING)
    graph = models / "wildlife_detector" / "1" / "model.onnx"
    assert graph.is_symlink()
    assert graph.read_bytes() == (settings.model_repository / "wildlife_detector" / "1" / "model.onnx").read_bytes()
    assert "instance_group [ { count: 3 kind: KIND_CPU } ]" in lines(models / "wildlife_detector" / "config.pbtxt")
    assert (models / "video_scorer" / "1").is_dir()
    names = {path.name for path in (models / "wildlife_detector").iterdir()}
    assert names == {"1", "2", "config.pbtxt", "configs"}, "what is half published is not there"
    (models / "clip_decoder" / "1" / "__pycache__").mkdir()  # as Python does beside a model
    assert not (settings.model_repository / "clip_decoder" / "1" / "__pycache__").exists()


def test_made_again_it_follows_rollout_and_files(settings: BackendSettings, tmp_path: Path) -> None:
    models, source = tmp_path / "models", settings.model_repository / "wildlife_detector"
    lay_out_models(models, settings, SERVING)
    (source / "1" / "model.rtx").write_text("an engine")
    lay_out_models(models, settings, TRIAL)
    assert (models / "wildlife_detector" / "1" / "model.rtx").read_text() == "an engine"
    assert "version_policy { specific { versions: [ 1, 2 ] } }" in lines(models / "wildlife_detector" / "config.pbtxt")
    assert "model_version: 2" in lines(models / "video_scorer_canary" / "config.pbtxt")

    (source / "1" / "model.rtx").unlink()
    lay_out_models(models, settings, Rollout(serving=2))
    assert not (models / "wildlife_detector" / "1" / "model.rtx").is_symlink()
    assert not (models / "video_scorer_canary").exists()
    assert "model_version: 2" in lines(models / "video_scorer" / "config.pbtxt")


def test_on_the_way_old_and_new_are_there(settings: BackendSettings, tmp_path: Path) -> None:
    models = tmp_path / "models"
    lay_out_models(models, settings, ChangingRollout.to(Rollout(serving=2), TRIAL))
    assert "version_policy { specific { versions: [ 1, 2 ] } }" in lines(models / "wildlife_detector" / "config.pbtxt")
    assert "model_version: 2" in lines(models / "video_scorer" / "config.pbtxt")
    assert (models / "video_scorer_canary").is_dir()


def test_a_touched_model_looks_changed_and_the_repository_does_not(settings: BackendSettings, tmp_path: Path) -> None:
    models = tmp_path / "models"
    lay_out_models(models, settings, SERVING)
    version, original = models / "clip_decoder" / "1", settings.model_repository / "clip_decoder" / "1"
    for path in (version, original):
        os.utime(path, (1000, 1000))
    touch_model(models, "clip_decoder")
    assert version.stat().st_mtime > 1000
    assert original.stat().st_mtime == 1000


def command(
    settings: BackendSettings, directory: Path, rollout: Rollout = SERVING, rows_in_flight: int = 1
) -> list[str]:
    launch = Launch(directory, "name", "127.0.0.1:1", rollout, rows_in_flight)
    return server_command(launch, settings, TritonRuntime(directory, directory, directory, (directory,)))


def test_the_start_goes_by_the_rollout(settings: BackendSettings, tmp_path: Path) -> None:
    assert "--load-model=video_scorer_canary" in command(settings, tmp_path, TRIAL)
    assert "--load-model=video_scorer" in command(settings, tmp_path)
    assert "--load-model=video_scorer_canary" not in command(settings, tmp_path)


def test_only_profile_rtx_has_a_pool_for_the_frames_that_may_be_under_way(
    settings: BackendSettings, tmp_path: Path
) -> None:
    for profile, count in (("cpu", 0), ("gpu", 0), ("rtx", 1)):
        given = command(settings.model_copy(update={"profile": profile}), tmp_path, rows_in_flight=10)
        pools = [part for part in given if "cuda-memory-pool" in part]
        frames = 8 * 320 * 320 * 3  # four ensembles, twice what they hold
        assert pools == [f"--cuda-memory-pool-byte-size=0:{2 * 10 * 4 * frames}"] * count
