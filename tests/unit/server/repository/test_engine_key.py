"""Which engine is refused, and in which words."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path

import pytest
from blake3 import blake3

from wildgate_server.repository.engine_key import (
    EngineDoesNotFit,
    EngineKey,
    EngineKeyError,
    check_engine,
    check_repository_engines,
)
from wildgate_server.repository.machine import Gpu, Machine
from wildgate_server.repository.manifest import ModelManifest

ONNX, ENGINE = b"an ONNX file", b"an engine"
MANIFEST = {
    "frames_per_window": 8,
    "frame_side_px": 320,
    "detections_per_frame": 16,
    "letterbox_value": 114,
    "max_frame_pixels": 9437184,
    "serving": {"max_batch_size": 16, "max_queue_delay_us": 500, "instances": 2},
}
NEEDS = ModelManifest.model_validate(MANIFEST)
ADA = Machine(Gpu("NVIDIA L4", "8.9"), "580.82.07", {"rtx": "1.7.1.116", "tensorrt": "11.1.0.5"})
HOPPER = Machine(Gpu("NVIDIA H200", "9.0"), "580.82.07", {"rtx": "1.7.1.116", "tensorrt": "11.1.0.5"})
TURING = Machine(Gpu("Tesla T4", "7.5"), "580.82.07", {"rtx": "1.7.1.116"})
BARE = Machine(None, None, {"rtx": "1.7.1.116"})
KEY = {
    "onnx_digest": f"blake3:{blake3(ONNX).hexdigest()}",
    "target": "rtx",
    "tensorrt_version": "1.7.1.116",
    "architectures": ["8.9"],
    "precision": "fp32",
    "min_batch": 1,
    "opt_batch": 16,
    "max_batch": 16,
    "frames": 8,
    "side": 320,
    "detections": 16,
    "engine_digest": f"sha256:{hashlib.sha256(ENGINE).hexdigest()}",
    "engine_bytes": len(ENGINE),
}


def lay(folder: Path, *, name: str = "model.rtx", **changes: object) -> Path:
    """An engine in `folder`, its ONNX file and its key; returns the engine's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(ONNX)
    (folder / name).write_bytes(ENGINE)
    (folder / f"{name}.json").write_text(json.dumps(KEY | changes))
    return folder / name


def refusal(engine: Path, machine: Machine) -> list[str]:
    with pytest.raises(EngineDoesNotFit) as caught:
        check_engine(engine, engine.with_name("model.onnx"), machine, NEEDS)
    first, *complaints, remedy = str(caught.value).split("\n  ")
    assert first == f"{engine} does not fit:"
    words = shlex.split(remedy)
    assert words[:5] == ["build", "the", "right", "one", "with:"]
    assert words[5:8] == ["wildgate-build", "engine", str(engine.with_name("model.onnx"))]
    return [*complaints, shlex.join(words[8:])]


def test_an_engine_that_fits_is_let_pass(tmp_path: Path) -> None:
    engine = lay(tmp_path)
    check_engine(engine, tmp_path / "model.onnx", ADA, NEEDS)
    assert not list(EngineKey.read(engine).differences(ADA))


@pytest.mark.parametrize(
    ("built_for", "machine", "fits"),
    [
        (["8.9"], ADA, True),
        (["8.9"], HOPPER, False),
        (["8.6", "8.9", "12.0"], ADA, True),
        (["8.0+"], ADA, True),
        (["8.0+"], HOPPER, True),
        (["8.0+"], TURING, False),
        (["8.0+"], Machine(Gpu("NVIDIA GeForce RTX 5090", "12.0"), None, ADA.tensorrt), True),
        (["7.5"], TURING, True),
        (["8.9"], BARE, False),
    ],
)
def test_architectures(built_for: list[str], machine: Machine, fits: bool) -> None:
    key = EngineKey.model_validate(KEY | {"architectures": built_for})
    assert (not list(key.differences(machine))) is fits


def test_an_engine_of_another_gpu_is_refused_with_both_and_the_command(tmp_path: Path) -> None:
    engine = lay(tmp_path)
    assert refusal(engine, HOPPER) == [
        "GPU architecture: the engine's is 8.9, this machine's 9.0 (NVIDIA H200)",
        f"--target rtx --output {engine} --max-batch 16",
    ]


def test_every_field_that_differs_is_named(tmp_path: Path) -> None:
    engine = lay(tmp_path, tensorrt_version="1.6.0.1", architectures=["12.0"], side=640, frames=4, max_batch=8)
    (tmp_path / "model.onnx").write_bytes(b"another ONNX file")
    found = refusal(engine, BARE)
    assert found[1:] == [
        "frames: the engine's are 4, the manifest's 8",
        "side: the engine's are 640, the manifest's 320",
        "largest batch: the engine's is 8, the manifest's 16",
        "TensorRT-RTX version: the engine's is 1.6.0.1, this machine's 1.7.1.116",
        "GPU architecture: the engine's is 12.0, this machine's none, it has no GPU",
        f"--target rtx --output {engine} --max-batch 16",
    ]
    assert found[0].startswith(f"ONNX digest: the engine's is {KEY['onnx_digest']}, that of {tmp_path}/model.onnx ")


def test_turing_is_not_among_the_portable_architectures(tmp_path: Path) -> None:
    engine = lay(tmp_path, architectures=["8.0+"])
    assert refusal(engine, TURING) == [
        "GPU architecture: the engine's is 8.0 and later, this machine's 7.5 (Tesla T4)",
        f"--target rtx --output {engine} --max-batch 16 --architecture current",
    ]


def test_a_pair_of_which_one_half_was_replaced(tmp_path: Path) -> None:
    engine = lay(tmp_path)
    engine.write_bytes(b"the next engine")
    [complaint, _] = refusal(engine, ADA)
    assert complaint.startswith(f"engine digest: the key's is {KEY['engine_digest']}, the file's sha256:")


def test_no_engine_and_no_key(tmp_path: Path) -> None:
    engine = lay(tmp_path)
    (tmp_path / "model.rtx.json").unlink()
    [complaint, command] = refusal(engine, ADA)
    assert complaint == f"{tmp_path}/model.rtx.json: there is no such file, so nothing says what model.rtx is"
    assert command == f"--target rtx --output {engine} --max-batch 16"
    engine.unlink()
    assert refusal(engine, ADA)[0] == "there is no such file"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "the document: Invalid JSON"),
        (json.dumps(KEY | {"target": "cuda"}), "target: Input should be 'tensorrt' or 'rtx' (is 'cuda')"),
        (json.dumps(KEY | {"architectures": []}), "architectures: Tuple should have at least 1 item"),
        (json.dumps(KEY | {"architectures": ["sm_90"]}), "architectures.0: String should match pattern"),
        (json.dumps({k: v for k, v in KEY.items() if k != "max_batch"}), "max_batch: Field required"),
    ],
)
def test_a_broken_key_is_refused_with_the_field(tmp_path: Path, content: str, message: str) -> None:
    engine = lay(tmp_path)
    (tmp_path / "model.rtx.json").write_text(content)
    with pytest.raises(EngineKeyError) as caught:
        EngineKey.read(engine)
    assert str(caught.value).startswith(f"{tmp_path}/model.rtx.json: {message}")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "manifest.yaml").write_text(json.dumps(MANIFEST))  # JSON is YAML
    for version in (1, 2):
        lay(tmp_path / "wildlife_detector" / str(version))
    return tmp_path


def test_the_cpu_profile_needs_no_engine(repository: Path) -> None:
    (repository / "wildlife_detector/1/model.rtx").unlink()
    check_repository_engines(repository, "cpu", [1, 2], BARE)


def test_every_version_of_a_repository_is_checked(repository: Path) -> None:
    check_repository_engines(repository, "rtx", [1, 2], ADA)
    lay(repository / "wildlife_detector/2", max_batch=8)
    check_repository_engines(repository, "rtx", [1], ADA)
    with pytest.raises(EngineDoesNotFit, match="largest batch: the engine's is 8, the manifest's 16"):
        check_repository_engines(repository, "rtx", [1, 2], ADA)


def test_the_gpu_profile_looks_for_a_plan(repository: Path) -> None:
    folder = repository / "wildlife_detector/1"
    with pytest.raises(EngineDoesNotFit) as caught:
        check_repository_engines(repository, "gpu", [1], HOPPER)
    assert str(caught.value).splitlines() == [
        f"{folder}/model.plan does not fit:",
        "  there is no such file",
        f"  build the right one with: wildgate-build engine {folder}/model.onnx --target tensorrt "
        f"--output {folder}/model.plan --max-batch 16",
    ]
    changes = {"target": "tensorrt", "tensorrt_version": "11.1.0.5", "architectures": ["9.0"]}
    lay(folder, name="model.plan", **changes)
    check_repository_engines(repository, "gpu", [1], HOPPER)


def test_engines_come_from_a_file_of_their_own_where_there_is_one(repository: Path) -> None:
    folder = repository / "wildlife_detector/1"
    (folder / "engine.onnx").write_bytes(b"what TensorRT takes")
    with pytest.raises(
        EngineDoesNotFit, match=rf"ONNX digest.*that of {folder}/engine\.onnx(.|\n)*engine {folder}/engine\.onnx"
    ):
        check_repository_engines(repository, "rtx", [1], ADA)
    (folder / "engine.onnx").write_bytes(ONNX)
    (folder / "model.onnx").write_bytes(b"what CPUs take")
    check_repository_engines(repository, "rtx", [1], ADA)
