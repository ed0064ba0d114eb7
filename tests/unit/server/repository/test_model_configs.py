from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest
from checkout import MODEL_REPOSITORY
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from wildgate_server.repository.manifest import ModelManifest, load_manifest
from wildgate_server.repository.model_configs import (
    check_configs,
    ensemble,
    ensembles,
    main,
    render_configs,
    write_configs,
)
from wildgate_server.repository.releases import Canary, Rollout, load_rollout

SERVING = Rollout(serving=3)
ON_TRIAL = Rollout(serving=3, canary=Canary(version=5, share=0.1))
KIND_CPU, KIND_GPU = ModelInstanceGroup.KIND_CPU, ModelInstanceGroup.KIND_GPU


def manifest(**changes: int) -> ModelManifest:
    return load_manifest(MODEL_REPOSITORY).model_copy(update=changes)


def rendered(rollout: Rollout = SERVING, **changes: int) -> dict[str, ModelConfig]:
    """Every config, by its path."""
    return {
        str(path): text_format.Parse(text, ModelConfig())
        for path, text in render_configs(manifest(**changes), rollout).items()
        if path.suffix == ".pbtxt"
    }


def config(model: str, profile: str = "cpu", rollout: Rollout = SERVING, **changes: int) -> ModelConfig:
    """What Triton takes for `model` in `profile`."""
    configs = rendered(rollout, **changes)
    return configs.get(f"{model}/configs/{profile}.pbtxt", configs.get(f"{model}/config.pbtxt"))


def parameters(found: ModelConfig) -> dict[str, str]:
    return {name: value.string_value for name, value in found.parameters.items()}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("manifest.yaml", "rollout.yaml"):
        shutil.copy(MODEL_REPOSITORY / name, tmp_path)
    write_configs(load_manifest(tmp_path), load_rollout(tmp_path), tmp_path)
    return tmp_path


def test_the_ensemble_wires_every_tensor_of_its_members() -> None:
    scorer = config("video_scorer")
    members = {step.model_name: step for step in scorer.ensemble_scheduling.step}
    for name, step in members.items():
        member = config(name)
        assert set(step.input_map) == {tensor.name for tensor in member.input}
        assert set(step.output_map) == {tensor.name for tensor in member.output}
    assert [tensor.name for tensor in scorer.input] == ["CLIP", "FRAME_INDEX", "DISPLAY"]


@pytest.mark.parametrize(
    ("canary", "software", "name", "decoder", "version"),
    [
        (False, False, "video_scorer", "clip_decoder", 3),
        (False, True, "video_scorer_software", "clip_decoder_software", 3),
        (True, False, "video_scorer_canary", "clip_decoder", 5),
        (True, True, "video_scorer_software_canary", "clip_decoder_software", 5),
    ],
)
def test_every_ensemble_asks_one_decoder_and_one_version(
    canary: bool, software: bool, name: str, decoder: str, version: int
) -> None:
    assert ensemble(canary=canary, software=software) == name
    assert ensembles(ON_TRIAL)[name] == version
    assert (name in ensembles(SERVING)) is not canary
    scorer = config(name, rollout=ON_TRIAL)
    first, second, third = scorer.ensemble_scheduling.step
    assert (first.model_name, first.model_version) == (decoder, -1)
    assert (second.model_name, second.model_version) == ("wildlife_detector", version)
    assert (third.model_name, third.model_version) == ("frame_fingerprint", 1)
    assert list(scorer.version_policy.specific.versions) == [version]


@pytest.mark.parametrize("profile", ["cpu", "gpu", "rtx"])
def test_the_detector_is_loaded_in_the_versions_that_answer(profile: str) -> None:
    found = config("wildlife_detector", profile, ON_TRIAL)
    assert list(found.version_policy.specific.versions) == [3, 5]


TOLD = {"letterbox_value": "7", "max_frame_pixels": "99", "window_processor_s": "1.0"}
PATIENT = TOLD | {"window_processor_s": "10.0", "nice": "5"}
ON_HOST, ON_GPU = {"FORCE_CPU_ONLY_INPUT_TENSORS": "yes"}, {"FORCE_CPU_ONLY_INPUT_TENSORS": "no"}
RTX_DECODER = TOLD | {"device": "gpu", "num_threads": "8"} | ON_HOST


def test_the_committed_configs_agree_with_the_manifest() -> None:
    assert check_configs(load_manifest(MODEL_REPOSITORY), load_rollout(MODEL_REPOSITORY), MODEL_REPOSITORY) == []
    assert main(["--check", str(MODEL_REPOSITORY)]) == 0


def test_check_says_exactly_where_a_config_disagrees(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = repository / "wildlife_detector" / "configs" / "gpu.pbtxt"
    text = file.read_text()
    file.write_text(text.replace("dims: [ 8, 16, 6 ]", "dims: [ 8, 10, 6 ]"))
    line = 1 + text.splitlines().index("    dims: [ 8, 16, 6 ]")
    assert main(["--check", str(repository)]) == 1
    assert capsys.readouterr().err == (
        f"{repository}/wildlife_detector/configs/gpu.pbtxt:{line}: has `dims: [ 8, 10, 6 ]`, "
        "the manifest says `dims: [ 8, 16, 6 ]`; run `make configs`\n"
    )


def test_check_follows_the_manifest(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = repository / "manifest.yaml"
    file.write_text(file.read_text().replace("frame_side_px: 320", "frame_side_px: 256"))
    assert main(["--check", str(repository)]) == 1
    complaints = [line.removeprefix(f"{repository}/").split(":")[0] for line in capsys.readouterr().err.splitlines()]
    names = ("config.pbtxt", "configs/gpu.pbtxt", "configs/rtx.pbtxt")
    decoders = ["clip_decoder/frames.json", "clip_decoder_software/config.pbtxt"]
    decoders += ["frame_fingerprint/config.pbtxt", "frame_fingerprint/configs/gpu.pbtxt"]
    models = ("clip_decoder", "wildlife_detector")
    assert sorted(complaints) == sorted([*decoders, *(f"{model}/{name}" for model in models for name in names)])


def test_check_misses_no_file_and_no_line(repository: Path) -> None:
    (repository / "clip_decoder" / "configs" / "rtx.pbtxt").unlink()
    scorer = repository / "video_scorer" / "config.pbtxt"
    lines = len(scorer.read_text().splitlines())
    scorer.write_text(scorer.read_text() + "version_policy { all {} }\n")
    (repository / "video_scorer_canary").mkdir()
    assert check_configs(load_manifest(repository), load_rollout(repository), repository) == [
        "video_scorer_canary: is not in rollout.yaml",
        "clip_decoder/configs/rtx.pbtxt: is missing",
        f"video_scorer/config.pbtxt:{lines + 1}: has `version_policy {{ all {{}} }}`, the manifest says no such line",
    ]


def test_write_mends_what_check_finds(repository: Path) -> None:
    (repository / "clip_decoder" / "config.pbtxt").write_text("broken")
    (repository / "video_scorer_canary" / "4").mkdir(parents=True)
    assert main(["--write", str(repository)]) == 0
    assert main(["--check", str(repository)]) == 0
    assert not (repository / "video_scorer_canary").exists()


def test_a_reader_finds_the_old_config_or_the_new_one(repository: Path) -> None:
    file = repository / "wildlife_detector" / "config.pbtxt"
    whole = [
        render_configs(manifest().with_instances(count), SERVING)[Path("wildlife_detector", "config.pbtxt")]
        for count in (1, 2)
    ]
    seen: set[str] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(file.read_text())

    reader = threading.Thread(target=read)
    write_configs(manifest().with_instances(1), SERVING, repository)
    reader.start()
    for count in [1, 2] * 20:
        write_configs(manifest().with_instances(count), SERVING, repository)
    done.set()
    reader.join()
    assert seen <= set(whole)


def test_an_interrupted_write_leaves_the_old_config_and_no_scrap(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_configs(manifest().with_instances(9), load_rollout(repository), repository)
    assert {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()} == before


def test_a_broken_manifest_is_an_error_and_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", str(tmp_path)]) == 1
    assert "manifest.yaml: cannot be read" in capsys.readouterr().err
