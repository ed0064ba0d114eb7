"""Which CPU runtime runs the detector faster: ONNX Runtime or OpenVINO.

    pip install openvino    # in no extra: it lost
    python perf/detector_runtimes.py [--graph FILE] [--instances 2] [--batches 1 4] [--rounds 20]

As in Triton: each instance is a process with one thread, and all instances work at the same time. The runtimes take
turns within each round, so that whatever else the machine does hits them alike; read the ratio, not the times.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

GRAPH = Path(__file__).parents[1] / "model_repository" / "wildlife_detector" / "1" / "model.onnx"

Tensor = npt.NDArray[Any]
Runner = Callable[[Tensor], Tensor]


def onnx_runtime(graph: Path) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
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


def frames_of(batch: int) -> Tensor:
    return np.random.default_rng(batch).integers(0, 256, (batch, 8, 320, 320, 3), np.uint8)


def instance(graph: Path, orders: Connection) -> None:
    """Runs (runtime, batch, repeats) as ordered; answers with the seconds it took and a checksum."""
    runners = {name: load(graph) for name, load in RUNTIMES.items()}
    while (order := orders.recv()) is not None:
        name, batch, repeats = order
        frames = frames_of(batch)
        began = perf_counter()
        for _ in range(repeats):
            detections = runners[name](frames)
        orders.send((perf_counter() - began, detections))


def measure(instances: list[Connection], name: str, batch: int, repeats: int) -> tuple[float, Tensor]:
    """Milliseconds for each window (8 frames) in one instance while all work, and the detections."""
    for connection in instances:
        connection.send((name, batch, repeats))
    answers = [connection.recv() for connection in instances]
    return max(seconds for seconds, _ in answers) * 1000 / repeats / batch, answers[0][1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graph", type=Path, default=GRAPH)
    parser.add_argument("--instances", type=int, default=2)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(options.instances)]
    workers = [context.Process(target=instance, args=(options.graph, theirs)) for _, theirs in pipes]
    for worker in workers:
        worker.start()
    run = partial(measure, [ours for ours, _ in pipes])
    for batch in options.batches:
        times: dict[str, list[float]] = {name: [] for name in RUNTIMES}
        detections = {name: run(name, batch, 1)[1] for name in RUNTIMES}  # Also warms up.
        first, second = detections.values()
        print(f"batch {batch}: largest difference between the detections {np.abs(first - second).max():.2g}")
        for _ in range(options.rounds):
            for name in RUNTIMES:
                times[name].append(run(name, batch, max(1, 4 // batch))[0])
        for name, values in times.items():
            print(f"batch {batch}: {name:12} {median(values):7.1f} ms a window (best {min(values):.1f})")
        ratios = [slow / fast for slow, fast in zip(*times.values(), strict=True)]
        low, high = np.percentile(ratios, [10, 90])
        print(f"batch {batch}: onnxruntime / openvino {median(ratios):.2f} (10-90 %: {low:.2f} to {high:.2f})")
    for ours, _ in pipes:
        ours.send(None)
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
