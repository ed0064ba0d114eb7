"""Running an engine, on a GPU that computes in host memory and only when waited for."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from engine_detectors import key_of
from rtx_seam import ENGINE, Gpu

from wildgate_build.engine.artifacts import write_engine
from wildgate_build.engine.cuda import Cuda
from wildgate_build.engine.runtime import EngineRunner
from wildgate_build.engine.tensorrt_api import TensorRt
from wildgate_build.errors import EngineError
from wildgate_server.repository.engine_key import EngineKey
from wildgate_server.repository.machine import Machine

F, S, K = 2, 4, Gpu.detections


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    file = tmp_path / "model.rtx"
    write_engine(file, ENGINE, key_of(ENGINE).model_copy(update={"frames": F, "side": S, "detections": K}))
    return file


@pytest.fixture
def runner(engine: Path, ada: Machine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., EngineRunner]:
    def make(gpu: Gpu, machine: Machine = ada) -> EngineRunner:
        pycuda = ModuleType("pycuda")
        pycuda.driver = gpu.driver()
        monkeypatch.setitem(sys.modules, "pycuda", pycuda)
        monkeypatch.setitem(sys.modules, "pycuda.driver", pycuda.driver)
        log = SimpleNamespace(errors=["made for another device"], warnings=[], log=lambda *_: None)
        return EngineRunner(engine, machine=machine, tensorrt=lambda _: TensorRt("rtx", gpu.tensorrt(), log))

    return make


def frames(*levels: int) -> np.ndarray:
    return np.broadcast_to(np.array(levels, np.uint8)[:, None, None, None, None], (len(levels), F, S, S, 3))


@pytest.mark.parametrize(
    ("rows", "largest", "sizes"), [(0, 4, []), (1, 4, [1]), (4, 4, [4]), (5, 4, [4, 1]), (9, 3, [3, 3, 3])]
)
def test_rows_come_back_in_order_whatever_their_batches(
    engine: Path, runner: Callable[..., EngineRunner], rows: int, largest: int, sizes: list[int]
) -> None:
    key = EngineKey.read(engine)
    write_engine(engine, ENGINE, key.model_copy(update={"opt_batch": largest, "max_batch": largest}))
    gpu = Gpu()
    with runner(gpu) as run:
        detections = run(frames(*range(10, 10 + rows)))
        assert detections.shape == (rows, F, K, 6)
        assert detections[:, 0, 0, 0].tolist() == list(range(10, 10 + rows))
        assert (gpu.runs, gpu.allocated) == (sizes, 2)
    assert (gpu.allocated, gpu.pushed) == (0, 0)


@pytest.mark.parametrize(
    ("gpu", "asked", "message"),
    [
        (Gpu(), np.zeros((1, F, S, S, 3), np.float32), r"float32 \[1, 2, 4, 4, 3\], .* takes uint8 \[n,2,4,4,3\]"),
        (Gpu(), np.zeros((F, S, S, 3), np.uint8), r"uint8 \[2, 4, 4, 3\], .* takes"),
        (Gpu(), np.zeros((1, F, 3, S, S), np.uint8), r"uint8 \[1, 2, 3, 4, 4\], .* takes"),
        (Gpu(largest=3), frames(1, 2, 3, 4), "does not take a batch of 4"),
        (Gpu(fails=True), frames(1), r"failed with TensorRT-RTX 1\.7\.1\.116"),
    ],
)
def test_frames_that_cannot_be_run(
    runner: Callable[..., EngineRunner], gpu: Gpu, asked: np.ndarray, message: str
) -> None:
    with runner(gpu) as run, pytest.raises(EngineError, match=message):
        run(asked)


def another(engine: Path) -> None:
    engine.write_bytes(b"another engine")


def without_key(engine: Path) -> None:
    engine.with_name("model.rtx.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "gpu", "message"),
    [
        (another, Gpu(), "is not the engine that its key speaks of"),
        (without_key, Gpu(), r"model\.rtx\.json: there is no such file"),
        (None, Gpu(loads=False), r"cannot be loaded with TensorRT-RTX 1\.7\.1\.116: made for another device"),
    ],
)
def test_an_engine_that_cannot_be_loaded_leaves_nothing_behind(
    engine: Path, runner: Callable[..., EngineRunner], spoil: Callable[[Path], None] | None, gpu: Gpu, message: str
) -> None:
    if spoil:
        spoil(engine)
    with pytest.raises(EngineError, match=message), runner(gpu):
        pass
    assert (gpu.allocated, gpu.pushed) == (0, 0)


def test_an_engine_of_another_machine_is_not_loaded(
    runner: Callable[..., EngineRunner], ada: Machine, bare: Machine
) -> None:
    older = dataclasses.replace(ada, tensorrt={"rtx": "1.6.0.1"})
    for machine, message in ((bare, "this machine's none, it has no GPU"), (older, "this machine's 1.6.0.1")):
        with pytest.raises(EngineError, match=message), runner(Gpu(), machine):
            pass


def test_without_pycuda_or_a_gpu_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(EngineError, match="pycuda cannot be loaded"), Cuda():
        pass

    def init() -> None:
        raise OSError("cuInit failed: no CUDA-capable device is detected")

    pycuda = ModuleType("pycuda")
    pycuda.driver = SimpleNamespace(Error=OSError, init=init)
    monkeypatch.setitem(sys.modules, "pycuda", pycuda)
    monkeypatch.setitem(sys.modules, "pycuda.driver", pycuda.driver)
    with pytest.raises(EngineError, match="no CUDA-capable device"), Cuda():
        pass
