"""Running an engine, with a TensorRT and a CUDA that compute in host memory and only when waited for."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import numpy as np
import pytest
from engine_detectors import key_of

from wildgate_build.engine.artifacts import write_engine
from wildgate_build.engine.cuda import Cuda
from wildgate_build.engine.runtime import EngineRunner
from wildgate_build.engine.tensorrt_api import TensorRt
from wildgate_build.errors import EngineError
from wildgate_server.repository.engine_key import EngineKey
from wildgate_server.repository.machine import Machine

ENGINE = b"an engine"
F, S, K = 2, 4, 3
STREAM = 77


class Device:
    """A GPU: memory by address, and a stream whose work is done when somebody waits for it."""

    def __init__(self) -> None:
        self.memory: dict[int, bytearray] = {}
        self.queue: list[Callable[[], None]] = []
        self.entered = 0
        self.stream = STREAM

    def __enter__(self) -> Self:
        self.entered += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.entered -= 1
        self.memory.clear()

    def allocate(self, size: int) -> int:
        address = 4096 * (1 + len(self.memory))
        self.memory[address] = bytearray(size)
        return address

    def pinned(self, shape: tuple[int, ...], kind: type[np.generic]) -> np.ndarray:
        return np.zeros(shape, kind)

    def copy_in(self, address: int, source: np.ndarray) -> None:
        def copy() -> None:
            self.memory[address][: source.nbytes] = source.tobytes()

        self.queue.append(copy)

    def copy_out(self, target: np.ndarray, address: int) -> None:
        def copy() -> None:
            target[...] = np.frombuffer(self.memory[address][: target.nbytes], target.dtype).reshape(target.shape)

        self.queue.append(copy)

    def wait(self) -> None:
        for work in self.queue:
            work()
        self.queue.clear()


class Context:
    """Answers with each frame's mean; notes the batches it was run with."""

    def __init__(self, device: Device, largest: int) -> None:
        self.device, self.largest, self.at, self.runs = device, largest, {}, []

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.at[name] = address
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name == "FRAMES"
        self.shape = shape
        return shape[0] <= self.largest

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == STREAM
        shape = self.shape
        self.runs.append(shape[0])

        def run() -> None:
            frames = np.frombuffer(self.device.memory[self.at["FRAMES"]][: math.prod(shape)], np.uint8)
            means = frames.reshape(shape).mean(axis=(2, 3, 4), dtype=np.float32)
            answer = np.broadcast_to(means[:, :, None, None], (*means.shape, K, 6))
            self.device.memory[self.at["DETECTIONS"]][: answer.nbytes] = answer.tobytes()

        self.device.queue.append(run)
        return True


class Gpu:
    """The seams: one device, one TensorRT on it whose engine takes batches of at most `largest`."""

    def __init__(self, largest: int = 4, *, loads: bool = True) -> None:
        self.device = Device()
        self.context = Context(self.device, largest)
        engine = SimpleNamespace(create_execution_context=lambda: self.context) if loads else None
        runtime = SimpleNamespace(deserialize_cuda_engine=lambda content: engine if content == ENGINE else None)
        api = SimpleNamespace(__version__="1.7.1.116", Runtime=lambda logger: runtime)
        log = SimpleNamespace(errors=[], warnings=["made for another device"])
        self.tensorrt = TensorRt("rtx", api, log)

    def runner(self, engine: Path, machine: Machine) -> EngineRunner:
        return EngineRunner(engine, machine=machine, tensorrt=lambda _: self.tensorrt, cuda=lambda: self.device)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    file = tmp_path / "model.rtx"
    key = key_of(ENGINE).model_copy(update={"frames": F, "side": S, "detections": K})
    write_engine(file, ENGINE, key)
    return file


def frames(*levels: int) -> np.ndarray:
    return np.broadcast_to(np.array(levels, np.uint8)[:, None, None, None, None], (len(levels), F, S, S, 3))


@pytest.mark.parametrize(
    ("rows", "largest", "sizes"), [(0, 4, []), (1, 4, [1]), (4, 4, [4]), (5, 4, [4, 1]), (9, 3, [3, 3, 3])]
)
def test_rows_come_back_in_order_whatever_their_batches(
    engine: Path, ada: Machine, rows: int, largest: int, sizes: list[int]
) -> None:
    key = EngineKey.read(engine)
    write_engine(engine, ENGINE, key.model_copy(update={"opt_batch": largest, "max_batch": largest}))
    gpu = Gpu(largest)
    with gpu.runner(engine, ada) as run:
        detections = run(frames(*range(10, 10 + rows)))
        assert detections.shape == (rows, F, K, 6)
        assert detections[:, 0, 0, 0].tolist() == list(range(10, 10 + rows))
        assert gpu.context.runs == sizes
    assert (gpu.device.entered, gpu.device.memory) == (0, {})


@pytest.mark.parametrize(
    ("spoilt", "found"),
    [
        (np.zeros((1, F, S, S, 3), np.float32), r"float32 \[1, 2, 4, 4, 3\]"),
        (np.zeros((F, S, S, 3), np.uint8), r"uint8 \[2, 4, 4, 3\]"),
        (np.zeros((1, F, 3, S, S), np.uint8), r"uint8 \[1, 2, 3, 4, 4\]"),
    ],
)
def test_other_frames_are_refused(engine: Path, ada: Machine, spoilt: np.ndarray, found: str) -> None:
    with (
        Gpu().runner(engine, ada) as run,
        pytest.raises(EngineError, match=rf"{found}, .* takes uint8 \[n,2,4,4,3\]"),
    ):
        run(spoilt)


def test_an_engine_of_another_machine_is_not_loaded(engine: Path, ada: Machine, bare: Machine) -> None:
    older = dataclasses.replace(ada, tensorrt={"rtx": "1.6.0.1"})
    for machine, message in ((bare, "this machine's none, it has no GPU"), (older, "this machine's 1.6.0.1")):
        gpu = Gpu()
        with pytest.raises(EngineError, match=message), gpu.runner(engine, machine):
            pass
        assert gpu.device.entered == 0


def test_an_engine_that_tensorrt_cannot_load(engine: Path, ada: Machine) -> None:
    gpu = Gpu(loads=False)
    message = r"cannot be loaded with TensorRT-RTX 1\.7\.1\.116: made for another device"
    with pytest.raises(EngineError, match=message), gpu.runner(engine, ada):
        pass
    assert gpu.device.entered == 0


def test_a_batch_that_the_engine_does_not_take(engine: Path, ada: Machine) -> None:
    with (
        Gpu(largest=3).runner(engine, ada) as run,
        pytest.raises(EngineError, match="does not take a batch of 4"),
    ):
        run(frames(1, 2, 3, 4))


def test_a_pair_that_does_not_belong_together(engine: Path, ada: Machine) -> None:
    engine.write_bytes(b"another engine")
    with (
        pytest.raises(EngineError, match="is not the engine that its key speaks of"),
        Gpu().runner(engine, ada),
    ):
        pass


def test_an_engine_without_a_key(engine: Path, ada: Machine) -> None:
    engine.with_name("model.rtx.json").unlink()
    with (
        pytest.raises(EngineError, match=r"model\.rtx\.json: there is no such file"),
        Gpu().runner(engine, ada),
    ):
        pass


def test_without_pycuda_the_error_says_so(engine: Path, ada: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    runner = EngineRunner(engine, machine=ada, tensorrt=lambda _: Gpu().tensorrt)
    with pytest.raises(EngineError, match="pycuda cannot be loaded"), runner:
        pass


class CudaDriver:
    """pycuda's driver; notes what is done. `broken` is one whose GPU is gone."""

    class Error(Exception):
        pass

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.done: list[str] = []

    def init(self) -> None:
        if self.broken:
            raise self.Error("cuInit failed: no CUDA-capable device is detected")

    def Device(self, number: int) -> SimpleNamespace:
        return SimpleNamespace(retain_primary_context=lambda: self._noting("push", "pop"))

    def Stream(self) -> SimpleNamespace:
        return SimpleNamespace(handle=STREAM, **vars(self._noting("synchronize")))

    def mem_alloc(self, size: int) -> Allocation:
        return Allocation(4096, lambda: self.done.append(f"free {size}"))

    def _noting(self, *names: str) -> SimpleNamespace:
        return SimpleNamespace(**{name: lambda name=name: self.done.append(name) for name in names})


@dataclasses.dataclass
class Allocation:
    address: int
    free: Callable[[], None]

    def __int__(self) -> int:
        return self.address


def install(driver: CudaDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", SimpleNamespace(driver=driver))
    monkeypatch.setitem(sys.modules, "pycuda.driver", driver)


def test_memory_is_freed_before_its_context_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = CudaDriver()
    install(driver, monkeypatch)
    with Cuda() as cuda:
        assert (cuda.allocate(10), cuda.stream) == (4096, STREAM)
        cuda.allocate(20)
        cuda.wait()
    assert driver.done == ["push", "synchronize", "free 10", "free 20", "pop"]


def test_without_a_gpu_the_error_says_so(engine: Path, ada: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    install(CudaDriver(broken=True), monkeypatch)
    runner = EngineRunner(engine, machine=ada, tensorrt=lambda _: Gpu().tensorrt)
    with pytest.raises(EngineError, match="no CUDA-capable device"), runner:
        pass
