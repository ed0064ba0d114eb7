"""What wildlife_detector makes of requests on an RTX GPU, with an engine whose answer is known."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from checkout import MODEL_REPOSITORY
from rtx_seam import ENGINE, VERSION, Gpu, GpuTensor, HostTensor, aligned, load_model
from triton_seam import InferenceRequest, model_config

from wildgate_server.repository.engine_key import EngineDoesNotFit, check_engine
from wildgate_server.repository.machine import Gpu as PresentGpu
from wildgate_server.repository.machine import Machine
from wildgate_server.repository.manifest import load_manifest

F, S, K, BATCH = 2, 4, Gpu.detections, 4
CONFIG = {
    "max_batch_size": BATCH,
    "input": [{"name": "FRAMES", "data_type": "TYPE_UINT8", "dims": [str(F), str(S), str(S), "3"]}],
    "output": [{"name": "DETECTIONS", "data_type": "TYPE_FP32", "dims": [str(F), str(K), "6"]}],
}
KEY = {
    "onnx_digest": f"blake3:{'1' * 64}",
    "target": "rtx",
    "tensorrt_version": VERSION,
    "architectures": ["8.0+"],
    "precision": "fp32",
    "min_batch": 1,
    "opt_batch": BATCH,
    "max_batch": BATCH,
    "frames": F,
    "side": S,
    "detections": K,
    "engine_digest": f"sha256:{hashlib.sha256(ENGINE).hexdigest()}",
    "engine_bytes": len(ENGINE),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    version = tmp_path / "1"
    version.mkdir()
    (version / "model.onnx").write_bytes(b"an ONNX file")
    (version / "model.rtx").write_bytes(ENGINE)
    (version / "model.rtx.json").write_text(json.dumps(KEY))
    return version


@pytest.fixture(autouse=True)
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where compiled kernels are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "wildgate" / f"{hashlib.sha256(ENGINE).hexdigest()[:16]}-sm89.kernels"


def change_key(folder: Path, **changes: object) -> None:
    (folder / "model.rtx.json").write_text(json.dumps(KEY | changes))


def start(gpu: Gpu, folder: Path, module: ModuleType | None = None) -> object:
    model = (module or load_model(gpu)).TritonPythonModel()
    model.initialize(
        {"model_config": json.dumps(CONFIG), "model_repository": str(folder.parent), "model_version": folder.name}
    )
    return model


def started(gpu: Gpu, folder: Path) -> object:
    """A model that was warmed up, and the GPU's notes of that forgotten."""
    model = start(gpu, folder)
    for notes in (gpu.runs, gpu.run_on, gpu.copies):
        notes.clear()
    return model


def rows(*levels: int, offset: int = 0) -> np.ndarray:
    frames = aligned(len(levels) * F * S * S * 3, offset).reshape(len(levels), F, S, S, 3)
    frames[...] = np.array(levels, np.uint8)[:, None, None, None, None]
    return frames


def on_gpu(*levels: int, offset: int = 0) -> InferenceRequest:
    return InferenceRequest({"FRAMES": GpuTensor("FRAMES", rows(*levels, offset=offset))})


def on_host(*levels: int) -> InferenceRequest:
    return InferenceRequest({"FRAMES": HostTensor("FRAMES", rows(*levels))})


def levels_of(responses: list) -> list[list[float]]:
    answers = [response.array() for response in responses]
    assert all(answer.shape[1:] == (F, K, 6) and answer.dtype == np.float32 for answer in answers)
    return [answer[:, 0, 0, 0].tolist() for answer in answers]


def test_it_is_warm_before_the_first_caller(folder: Path) -> None:
    gpu = Gpu()
    start(gpu, folder)
    assert sorted(gpu.runs) == [1, BATCH]
    assert gpu.pushed == 0


def test_a_lone_request_on_the_gpu_is_bound_where_it_lies(folder: Path) -> None:
    gpu = Gpu()
    model = started(gpu, folder)
    request = on_gpu(10, 20)
    assert levels_of(model.execute([request])) == [[10, 20]]
    assert gpu.run_on == [request.tensors["FRAMES"].array.ctypes.data]
    assert gpu.copies == ["out"]


def test_one_that_lies_askew_is_copied_on_the_device(folder: Path) -> None:
    gpu = Gpu()
    model = started(gpu, folder)
    assert levels_of(model.execute([on_gpu(10, 20, offset=16)])) == [[10, 20]]
    assert gpu.copies == ["on device", "out"]


def test_requests_from_both_sides_share_a_run(folder: Path) -> None:
    gpu = Gpu()
    model = started(gpu, folder)
    responses = model.execute([on_gpu(1), on_host(2, 3), on_gpu(4)])
    assert levels_of(responses) == [[1], [2, 3], [4]]
    assert gpu.runs == [4]
    assert gpu.copies == ["on device", "in", "on device", "out"]
    assert gpu.pushed == 0


def test_more_rows_than_a_batch_take_several_runs(folder: Path) -> None:
    gpu = Gpu()
    model = started(gpu, folder)
    assert levels_of(model.execute([on_gpu(1, 2, 3), on_gpu(4, 5), on_host(6)])) == [[1, 2, 3], [4, 5], [6]]
    assert gpu.runs == [3, 3]


@pytest.mark.parametrize(
    ("sizes", "cut"),
    [([], []), ([4], [[4]]), ([1, 1, 1, 1, 1], [[1, 1, 1, 1], [1]]), ([3, 2, 2, 4], [[3], [2, 2], [4]])],
)
def test_batches(sizes: list[int], cut: list[list[int]]) -> None:
    assert [sizes[part] for part in load_model(Gpu()).batches(sizes, 4)] == cut


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (GpuTensor("FRAMES", np.zeros((1, F, S, S), np.uint8)), "FRAMES is [1, 2, 4, 4], not [1 to 4,2,4,4,3]"),
        (GpuTensor("FRAMES", np.zeros((5, F, S, S, 3), np.uint8)), "FRAMES is [5, 2, 4, 4, 3], not [1 to 4,"),
        (GpuTensor("FRAMES", np.zeros((1, F, S, S, 3), np.float32)), "FRAMES has the DLPack type (2, 32, 1)"),
        (GpuTensor("FRAMES", np.zeros((1, F, S, S, 6), np.uint8)[..., ::2]), "FRAMES has gaps between its values"),
        (HostTensor("FRAMES", np.zeros((1, F, S, S, 3), np.float32)), "FRAMES is float32, not uint8"),
        (HostTensor("FRAMES", np.zeros((0, F, S, S, 3), np.uint8)), "FRAMES is [0, 2, 4, 4, 3], not [1 to 4,"),
    ],
)
def test_frames_that_do_not_fit_fail_their_own_request(folder: Path, tensor: object, message: str) -> None:
    model = started(Gpu(), folder)
    fine, failed, also_fine = model.execute([on_gpu(1), InferenceRequest({"FRAMES": tensor}), on_host(2)])
    assert failed.error.code == "INVALID_ARG"
    assert str(failed.error).startswith(f"wildlife_detector: {message}")
    assert levels_of([fine, also_fine]) == [[1], [2]]


def test_a_failed_run_fails_its_requests_and_not_the_model(folder: Path) -> None:
    gpu = Gpu()
    module = load_model(gpu)
    model = start(gpu, folder, module)
    gpu.fails = True
    failed = model.execute([on_gpu(1), on_gpu(2)])
    assert [response.error.code for response in failed] == ["INTERNAL", "INTERNAL"]
    assert "does not run a batch of 2" in module.pb_utils.Logger.errors[-1]
    gpu.fails = False
    assert levels_of(model.execute([on_gpu(3)])) == [[3]]
    assert gpu.pushed == 0


def test_an_engine_of_another_machine_is_refused_in_the_gateways_words(folder: Path) -> None:
    change_key(folder, architectures=["12.0", "12.1"], tensorrt_version="1.6.0.1")
    asked = {"frames_per_window": F, "frame_side_px": S, "detections_per_frame": K}
    serving = load_manifest(MODEL_REPOSITORY).serving.model_copy(update={"max_batch_size": BATCH})
    manifest = load_manifest(MODEL_REPOSITORY).model_copy(update={**asked, "serving": serving})
    machine = Machine(PresentGpu("NVIDIA L4", "8.9"), None, {"rtx": VERSION})
    with pytest.raises(EngineDoesNotFit) as gateways:
        check_engine(folder / "model.rtx", folder / "model.onnx", machine, manifest)
    with pytest.raises(Exception, match="does not fit") as models:
        start(Gpu(), folder)
    assert type(models.value).__name__ == "EngineRefusedError"
    words = [line for line in str(gateways.value).splitlines() if "ONNX digest" not in line]
    assert str(models.value).splitlines() == words


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "tensorrt"}, "target: the engine's is tensorrt, this model's rtx"),
        ({"frames": 8}, "frames: the engine's are 8, the config's 2"),
        ({"max_batch": 2}, "largest batch: the engine's is 2, the config's 4"),
        ({"engine_digest": "sha256:00"}, "engine digest: the key's is sha256:00, the file's sha256:"),
        ({"max_batch": "many"}, "its key model.rtx.json is broken: TypeError"),
        ({"architectures": ["ada"]}, "its key model.rtx.json is broken: ValueError"),
    ],
)
def test_an_engine_that_does_not_do_what_the_config_promises(
    folder: Path, changes: dict[str, object], message: str
) -> None:
    change_key(folder, **changes)
    with pytest.raises(Exception, match="does not fit") as caught:
        start(Gpu(), folder)
    assert f"\n  {message}" in str(caught.value)


@pytest.mark.parametrize("missing", ["model.rtx", "model.rtx.json"])
def test_half_a_pair_is_refused(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(Exception, match=f"cannot be read: .*{missing}") as caught:
        start(Gpu(), folder)
    assert "build the right one with: wildgate-build engine " in str(caught.value)


def test_turing_needs_an_engine_of_its_own(folder: Path) -> None:
    with pytest.raises(Exception, match=r"the engine's is 8\.0 and later, this machine's 7\.5 \(Tesla T4\)") as caught:
        start(Gpu((7, 5), "Tesla T4"), folder)
    assert str(caught.value).endswith("--max-batch 4 --architecture current")
    change_key(folder, architectures=["7.5"])
    start(Gpu((7, 5), "Tesla T4"), folder)


def test_what_tensorrt_itself_refuses(folder: Path) -> None:
    with pytest.raises(Exception, match=r"model\.rtx cannot be loaded: Unsupported compute capability"):
        start(Gpu(loads=False), folder)


def test_kernels_are_kept_for_the_next_start(folder: Path, kernels: Path) -> None:
    before = sorted(folder.iterdir())
    first = Gpu()
    model = start(first, folder)
    assert kernels.read_bytes() == b"compiled"
    first.kernels = b"compiled, and more"
    model.finalize()
    second = Gpu()
    start(second, folder)
    assert second.kernels == b"compiled, and more"
    assert list(kernels.parent.iterdir()) == [kernels]
    assert sorted(folder.iterdir()) == before  # the repository is not written to


def test_kernels_that_cannot_be_kept_do_no_harm(folder: Path, kernels: Path) -> None:
    kernels.mkdir(parents=True)
    gpu = Gpu()
    module = load_model(gpu)
    model = start(gpu, folder, module)
    assert "kernels are not kept" in module.pb_utils.Logger.errors[-1]
    assert levels_of(model.execute([on_gpu(7)])) == [[7]]
    assert list(kernels.parent.iterdir()) == [kernels]


def test_the_shapes_of_the_committed_config() -> None:
    shapes = load_model(Gpu()).Shapes.of(json.loads(model_config("wildlife_detector", "rtx")))
    assert (shapes.window, shapes.answer, shapes.max_batch) == ((8, 320, 320, 3), (8, 16, 6), 16)
