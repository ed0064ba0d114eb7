"""What fewer bits cost in accuracy and gained in speed, against the fp32 detector on the same frames.

The loss is 1 - F1 of the new detections with fp32's as the truth (`check.matching`), which needs no labelled videos:
0.01 means that of a hundred detections about one is lost or invented. What the truth says of either is measured by
`wildgate-build evaluate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import ModelProto

from wildgate_build.check.comparison import NothingSeenError
from wildgate_build.check.matching import Differences, MatchRule
from wildgate_build.check.runners import OnnxRunner, detect, in_windows
from wildgate_build.precision.speed import Speed, measure_speed
from wildgate_build.standard_file import StandardFile

__all__ = ["Cost", "Evidence"]

_ROUNDS: Final = 15
_OLD, _NEW = "fp32", "new"


@dataclass(frozen=True)
class Cost:
    """What a new precision does. `speed` is of one window on one thread of this CPU, in ONNX Runtime."""

    differences: Differences
    speed: Speed
    old_bytes: int
    new_bytes: int

    @property
    def speed_ratio(self) -> float:
        """How many times as fast as fp32."""
        return self.speed.ratio(_OLD, _NEW)

    @property
    def resolution(self) -> float:
        """The loss that a single detection without a partner makes: no smaller one can be told from none."""
        counted = 2 * self.differences.pairs + self.differences.missing + self.differences.extra
        return 1 / counted if counted else 1.0

    def summary(self) -> dict[str, object]:
        """All figures, for JSON."""
        return {
            "accuracy": self.differences.summary(),
            "speed": {
                "runtime": f"onnxruntime {onnxruntime.__version__}, one thread",
                "fp32_ms": self.speed.median_ms[_OLD],
                "new_ms": self.speed.median_ms[_NEW],
                "ratio": self.speed_ratio,
            },
            "bytes": {"fp32": self.old_bytes, "new": self.new_bytes},
        }


class Evidence:
    """The fp32 detector's answers on held-out frames uint8 [n, S, S, 3], for new precisions to be held against.

    Raises NothingSeenError when it sees nothing there that counts, UnknownClassError and CannotRunError.
    """

    def __init__(self, detector: StandardFile, held_out: npt.NDArray[np.uint8], rule: MatchRule) -> None:
        self._detector = detector
        self._frames = held_out
        self._rule = rule
        self._seen = detect(OnnxRunner(detector.path), held_out, detector.frames)
        if not self.differences_of_rows(self._seen).pairs:
            raise NothingSeenError(
                f"{detector.path}: detects nothing in {len(held_out)} held-out frames; "
                "give videos that show what it knows"
            )

    def differences(self, model: ModelProto) -> Differences:
        """How a whole graph's detections differ from fp32's. Raises CannotRunError and UnknownClassError."""
        runner = OnnxRunner(model.SerializeToString())
        return self.differences_of_rows(detect(runner, self._frames, self._detector.frames))

    def differences_of_rows(self, rows: npt.NDArray[np.float32]) -> Differences:
        """How detections [n, K, 6] in the held-out frames differ from fp32's."""
        path = self._detector.path
        differences = Differences(self._rule, (str(path), f"{path} in its new precision"))
        differences.add(self._seen, rows)
        return differences

    def cost(self, model: ModelProto, differences: Differences) -> Cost:
        """The whole report on a graph whose differences are known. Raises CannotRunError."""
        content = model.SerializeToString()
        window = in_windows(self._frames[: self._detector.frames], self._detector.frames)
        runners = {_OLD: OnnxRunner(self._detector.path, threads=1), _NEW: OnnxRunner(content, threads=1)}
        speed = measure_speed({name: partial(runner, window) for name, runner in runners.items()}, _ROUNDS)
        return Cost(differences, speed, self._detector.path.stat().st_size, len(content))
