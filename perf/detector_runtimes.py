"""Which CPU runtime runs the detector faster: ONNX Runtime or OpenVINO.

    pip install openvino    # in no extra: it lost
    python perf/detector_runtimes.py [--graph FILE] [--instances 2] [--batches 1 4] [--rounds 20]

As in Triton: each instance is a process with one thread, and all instances work at the same time. The contenders take
turns within each round, so that whatever else the machine does hits them alike; read the ratio, not the times.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

GRAPH = Path(__file__).parents[1] / "model_repository" / "wildlife_detector" / "1" / "model.onnx"

Tensor = npt.NDArray[Any]
Runner = Callable[[Tensor], Tensor]


def onnx_runtime(graph: Path) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda frames: session.run(None, {"FRAMES": frames})[0]


def openvino(graph: Path) -> Runner:
    import openvino

    # Without pinning off, every instance would be pinned to the same first core. f32: no quiet bfloat16.
    settings = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = openvino.Core().compile_model(graph, "CPU", settings)
    return lambda frames: compiled(frames)[0]


RUNTIMES: dict[str, Callable[[Path], Runner]] = {"onnxruntime": onnx_runtime, "openvino": openvino}


@dataclass(frozen=True)
class Contender:
    """A graph and what runs it, one of RUNTIMES."""

    runtime: str
    graph: Path


def frames_of(batch: int, window: tuple[int, int]) -> Tensor:
    """Noise for `batch` windows of (F, S): what a network computes does not depend on it, nor how long it takes."""
    frames, side = window
    return np.random.default_rng(batch).integers(0, 256, (batch, frames, side, side, 3), np.uint8)


def instance(contenders: Mapping[str, Contender], window: tuple[int, int], orders: Connection) -> None:
    """Runs (contender, batch, repeats) as ordered; answers with the seconds it took and the detections."""
    runners = {name: RUNTIMES[contender.runtime](contender.graph) for name, contender in contenders.items()}
    while (order := orders.recv()) is not None:
        name, batch, repeats = order
        frames = frames_of(batch, window)
        began = perf_counter()
        for _ in range(repeats):
            detections = runners[name](frames)
        orders.send((perf_counter() - began, detections))


class Instances:
    """Processes that each hold all contenders and work at the same time, for as long as the context."""

    def __init__(self, contenders: Mapping[str, Contender], window: tuple[int, int], count: int) -> None:
        self.names = tuple(contenders)
        context = multiprocessing.get_context("spawn")
        pipes = [context.Pipe() for _ in range(count)]
        self._orders = [ours for ours, _ in pipes]
        self._workers = [context.Process(target=instance, args=(contenders, window, theirs)) for _, theirs in pipes]

    def __enter__(self) -> Self:
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker, orders in zip(self._workers, self._orders, strict=True):
            if error is None:
                orders.send(None)
            else:
                worker.terminate()
            worker.join()

    def run(self, name: str, batch: int, repeats: int) -> tuple[float, Tensor]:
        """Milliseconds for each window in the slowest instance while all work, and the detections."""
        for orders in self._orders:
            orders.send((name, batch, repeats))
        answers = [orders.recv() for orders in self._orders]
        return max(seconds for seconds, _ in answers) * 1000 / repeats / batch, answers[0][1]

    def rounds(self, batch: int, rounds: int) -> dict[str, list[float]]:
        """Milliseconds for each window by contender, one figure a round, after a run to warm up."""
        times: dict[str, list[float]] = {name: [] for name in self.names}
        for name in self.names:
            self.run(name, batch, 1)
        for _ in range(rounds):
            for name in self.names:
                times[name].append(self.run(name, batch, max(1, 4 // batch))[0])
        return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graph", type=Path, default=GRAPH)
    parser.add_argument("--instances", type=int, default=2)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    contenders = {name: Contender(name, options.graph) for name in RUNTIMES}
    with Instances(contenders, (8, 320), options.instances) as instances:
        for batch in options.batches:
            first, second = (instances.run(name, batch, 1)[1] for name in RUNTIMES)
            print(f"batch {batch}: largest difference between the detections {np.abs(first - second).max():.2g}")
            times = instances.rounds(batch, options.rounds)
            for name, values in times.items():
                print(f"batch {batch}: {name:12} {median(values):7.1f} ms a window (best {min(values):.1f})")
            ratios = [slow / fast for slow, fast in zip(*times.values(), strict=True)]
            low, high = np.percentile(ratios, [10, 90])
            print(f"batch {batch}: onnxruntime / openvino {median(ratios):.2f} (10-90 %: {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
