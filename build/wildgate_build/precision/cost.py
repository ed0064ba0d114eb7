"""Accuracy lost and speed gained with fewer bits, against the fp32 detector on the same frames.

The loss is 1 - F1 of the new detections with fp32's as the truth (`check.matching`), which needs no labelled videos:
0.01 means that of a hundred detections about one is lost or invented. What the truth says of either is measured by
an evaluation, such as `python -m wildgate_detector evaluate`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import ModelProto

from wildgate_build.check.matching import Differences, MatchRule
from wildgate_build.check.runners import OnnxRunner, detect, in_windows
from wildgate_build.errors import ComparisonError
from wildgate_build.standard_file import StandardFile

__all__ = ["Baseline", "Cost", "median_times"]

_ROUNDS: Final = 15


@dataclass(frozen=True)
class Cost:
    """What a new precision costs and gains. Times are of one window on one thread of this CPU, in ONNX Runtime."""

    differences: Differences
    fp32_ms: float
    new_ms: float
    old_bytes: int
    new_bytes: int

    @property
    def speed_ratio(self) -> float:
        """How many times as fast as fp32."""
        return self.fp32_ms / self.new_ms

    @property
    def resolution(self) -> float:
        """The loss caused by a single unmatched detection: the smallest that can be measured."""
        counted = 2 * self.differences.pairs + self.differences.missing + self.differences.extra
        return 1 / counted if counted else 1.0

    def summary(self) -> dict[str, object]:
        """All figures, for JSON."""
        return {
            "accuracy": self.differences.summary(),
            "speed": {
                "runtime": f"onnxruntime {onnxruntime.__version__}, one thread",
                "fp32_ms": self.fp32_ms,
                "new_ms": self.new_ms,
                "ratio": self.speed_ratio,
            },
            "bytes": {"fp32": self.old_bytes, "new": self.new_bytes},
        }


class Baseline:
    """The fp32 detector's answers on held-out frames uint8 [n, S, S, 3], for new precisions to be held against.

    Raises ComparisonError when it sees nothing there that counts, and CannotRunError.
    """

    def __init__(self, detector: StandardFile, held_out: npt.NDArray[np.uint8], rule: MatchRule) -> None:
        self._detector = detector
        self._frames = held_out
        self._rule = rule
        self._seen = detect(OnnxRunner(detector.path), held_out, detector.frames)
        if not self._differences(self._seen).pairs:
            raise ComparisonError(
                f"{detector.path}: detects nothing in {len(held_out)} held-out frames; "
                "give videos that show what it knows"
            )

    def differences(self, model: ModelProto) -> Differences:
        """How a whole graph's detections differ from fp32's. Raises CannotRunError and ComparisonError."""
        return self._differences(detect(OnnxRunner(model), self._frames, self._detector.frames))

    def cost(self, model: ModelProto) -> Cost:
        """What a whole graph costs and gains. Raises CannotRunError and ComparisonError."""
        window = in_windows(self._frames[: self._detector.frames], self._detector.frames)
        runners = {"fp32": OnnxRunner(self._detector.path, threads=1), "new": OnnxRunner(model, threads=1)}
        times = median_times({name: partial(runner, window) for name, runner in runners.items()}, _ROUNDS)
        sizes = self._detector.path.stat().st_size, model.ByteSize()
        return Cost(self.differences(model), times["fp32"], times["new"], *sizes)

    def _differences(self, rows: npt.NDArray[np.float32]) -> Differences:
        path = self._detector.path
        differences = Differences(self._rule, (str(path), f"{path} in its new precision"))
        differences.add(self._seen, rows)
        return differences


def median_times(
    runs: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = perf_counter
) -> dict[str, float]:
    """The median of each run's time in milliseconds; `clock` gives seconds.

    Each runs once in every round, after one to warm up: other load on the machine affects all alike.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            began = clock()
            run()
            times[name].append((clock() - began) * 1e3)
    return {name: median(values) for name, values in times.items()}
