"""The detector that every peer runs: wildgate's own ONNX file in ONNX Runtime, and the answer that it gives."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from wildgate_perf.bench.peers.keyframes import Pixels, WindowShape, decode_keyframes

LEAST_SCORE = 0.05
"""Detections below this are left out of answers, as a service would; the gateway's policy asks for more."""

Answer = dict[str, Any]
"""`times_s`: when each looked-at frame is shown; `detections`: rows of [frame, x1, y1, x2, y2, score, class]."""

Detections = npt.NDArray[np.float32]


class Detector:
    """The graph in one session of its own."""

    def __init__(self, graph: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(os.fspath(graph), options, providers=["CPUExecutionProvider"])
        source, result = self._session.get_inputs()[0], self._session.get_outputs()[0]
        self._input, self._output = source.name, result.name
        self.window = tuple(int(size) for size in source.shape[1:])
        self(np.zeros((1, *self.window), np.uint8))  # the first run allocates

    def __call__(self, windows: Pixels) -> Detections:
        """Detections FP32 [n, F, K, 6] of windows UINT8 [n, F, S, S, 3]."""
        found: Detections = self._session.run([self._output], {self._input: windows})[0]
        return found


@dataclass(frozen=True)
class Scorer:
    """Everything between a video's bytes and its answer; what each worker of a peer holds one of."""

    detect: Detector
    shape: WindowShape

    def score(self, video: bytes) -> Answer:
        """The answer to one video. Raises NoKeyframes."""
        keyframes = decode_keyframes(video, self.shape)
        return answer_of(self.detect(keyframes.windows), keyframes.times_s)


def answer_of(found: Detections, times_s: Sequence[float]) -> Answer:
    """What callers get of detections FP32 [n, F, K, 6] of frames shown at `times_s`."""
    frames = found.reshape(-1, *found.shape[2:])[: len(times_s)]
    frame, row = np.nonzero(frames[..., 4] >= LEAST_SCORE)
    rows = np.column_stack([frame, frames[frame, row]])
    return {"times_s": list(times_s), "detections": rows.round(4).tolist()}


def open_detector(graph: Path, letterbox_value: int) -> Scorer:
    """A scorer of the detector in `graph`, warmed up."""
    detector = Detector(graph)
    frames, side = detector.window[:2]
    return Scorer(detector, WindowShape(frames, side, letterbox_value))
