from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from wildgate_server.manifest import load_manifest
from wildgate_server.model_configs import check_configs, main, render_configs, write_configs

REPOSITORY = Path(__file__).parents[3] / "model_repository"


def parsed(model: str, **changes: int) -> ModelConfig:
    manifest = load_manifest(REPOSITORY).model_copy(update=changes)
    return text_format.Parse(render_configs(manifest)[Path(model, "config.pbtxt")], ModelConfig())


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    shutil.copy(REPOSITORY / "manifest.yaml", tmp_path)
    write_configs(load_manifest(tmp_path), tmp_path)
    return tmp_path


def test_rendering_is_stable() -> None:
    manifest = load_manifest(REPOSITORY)
    assert render_configs(manifest) == render_configs(manifest)


def test_the_header_tells_who_writes_the_file() -> None:
    for text in render_configs(load_manifest(REPOSITORY)).values():
        assert text.startswith("# Rendered from manifest.yaml by `make configs`")


def test_shapes_come_from_the_manifest() -> None:
    changes = {"frames_per_window": 4, "frame_side_px": 96, "detections_per_frame": 5}
    decoder, detector = parsed("clip_decoder", **changes), parsed("wildlife_detector", **changes)
    scorer = parsed("video_scorer", **changes)
    assert [list(tensor.dims) for tensor in decoder.input] == [[-1], [4], [1]]
    assert list(decoder.output[0].dims) == list(detector.input[0].dims) == [4, 96, 96, 3]
    assert list(detector.output[0].dims) == list(scorer.output[0].dims) == [4, 5, 6]


def test_the_ensemble_wires_every_tensor_of_its_members() -> None:
    scorer = parsed("video_scorer")
    members = {step.model_name: step for step in scorer.ensemble_scheduling.step}
    for name, step in members.items():
        member = parsed(name)
        assert set(step.input_map) == {tensor.name for tensor in member.input}
        assert set(step.output_map) == {tensor.name for tensor in member.output}
    assert [tensor.name for tensor in scorer.input] == ["CLIP", "FRAME_INDEX", "ROTATION"]
    assert list(members) == ["clip_decoder", "wildlife_detector"]


@pytest.mark.parametrize("model", ["clip_decoder", "wildlife_detector"])
def test_members_batch_and_run_as_the_manifest_says(model: str) -> None:
    serving = load_manifest(REPOSITORY).serving
    config = parsed(model)
    assert config.max_batch_size == serving.max_batch_size
    assert config.dynamic_batching.max_queue_delay_microseconds == serving.max_queue_delay_us
    assert [group.count for group in config.instance_group] == [serving.instances]


def test_clips_of_any_length_share_a_batch() -> None:
    ragged = {tensor.name: tensor.allow_ragged_batch for tensor in parsed("clip_decoder").input}
    assert ragged == {"CLIP": True, "FRAME_INDEX": False, "ROTATION": False}


def test_the_decoder_is_told_letterbox_value_and_pixel_limit() -> None:
    parameters = parsed("clip_decoder", letterbox_value=7, max_frame_pixels=99).parameters
    assert parameters["letterbox_value"].string_value == "7"
    assert parameters["max_frame_pixels"].string_value == "99"


def test_the_committed_configs_agree_with_the_manifest() -> None:
    assert check_configs(load_manifest(REPOSITORY), REPOSITORY) == []
    assert main(["--check", str(REPOSITORY)]) == 0


def test_check_says_exactly_where_a_config_disagrees(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = repository / "wildlife_detector" / "config.pbtxt"
    config.write_text(config.read_text().replace("dims: [ 8, 16, 6 ]", "dims: [ 8, 10, 6 ]"))
    assert main(["--check", str(repository)]) == 1
    assert capsys.readouterr().err == (
        f"{repository}/wildlife_detector/config.pbtxt:16: has `dims: [ 8, 10, 6 ]`, "
        "the manifest says `dims: [ 8, 16, 6 ]`; run `make configs`\n"
    )


def test_check_follows_the_manifest(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = repository / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace("frame_side_px: 320", "frame_side_px: 256"))
    assert main(["--check", str(repository)]) == 1
    told = "has `dims: [ 8, 320, 320, 3 ]`, the manifest says `dims: [ 8, 256, 256, 3 ]`; run `make configs`"
    assert capsys.readouterr().err.splitlines() == [
        f"{repository}/clip_decoder/config.pbtxt:27: {told}",
        f"{repository}/wildlife_detector/config.pbtxt:9: {told}",
    ]


def test_check_misses_no_file_and_no_line(repository: Path) -> None:
    manifest = load_manifest(repository)
    (repository / "clip_decoder" / "config.pbtxt").unlink()
    scorer = repository / "video_scorer" / "config.pbtxt"
    scorer.write_text(scorer.read_text() + "version_policy { all {} }\n")
    assert check_configs(manifest, repository) == [
        "video_scorer/config.pbtxt:47: has `version_policy { all {} }`, the manifest says no such line",
        "clip_decoder/config.pbtxt: is missing",
    ]


def test_write_mends_what_check_finds(repository: Path) -> None:
    (repository / "clip_decoder" / "config.pbtxt").write_text("broken")
    assert main(["--write", str(repository)]) == 0
    assert main(["--check", str(repository)]) == 0


def test_a_broken_manifest_is_an_error_and_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", str(tmp_path)]) == 1
    assert "manifest.yaml: cannot be read" in capsys.readouterr().err
