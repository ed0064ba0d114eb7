"""Runs detectors: the seam between making detections and comparing them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from wildgate_build.engine.runtime import EngineRunner
from wildgate_build.onnx_session import open_session
from wildgate_build.standard_file import StandardFile

__all__ = ["ENGINE_SUFFIXES", "Candidate", "OnnxRunner", "Runner", "detect", "in_windows", "open_candidate"]

Frames = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.float32]

ENGINE_SUFFIXES: Final = (".plan", ".rtx")
_WINDOWS_AT_ONCE: Final = 4


class Runner(Protocol):
    """Detects in windows: uint8 [n, F, S, S, 3] to float32 [n, F, K, 6]."""

    def __call__(self, frames: Frames) -> Rows:
        """The detections of all windows."""
        ...


class OnnxRunner:
    """A standard detector, a file or a graph, in ONNX Runtime; `threads` 0 takes all cores. Raises CannotRunError."""

    def __init__(self, model: Path | ModelProto, threads: int = 0) -> None:
        self._session = open_session(model, threads)
        self._static = isinstance(self._session.get_inputs()[0].shape[1], int)

    def __call__(self, frames: Frames) -> Rows:
        """The detections of all windows; frame by frame if the graph can, since each may have other bars."""
        singles = frames if self._static else frames.reshape(-1, 1, *frames.shape[2:])
        rows: Rows = np.concatenate([self._session.run(None, {"FRAMES": single[None]})[0] for single in singles])
        return rows.reshape(*frames.shape[:2], *rows.shape[2:])


@dataclass(frozen=True)
class Candidate:
    """The detector to check: F, S, K and, if the file names them, its labels in class order.

    `digest` is that of the ONNX file (`blake3:<hex>`): the candidate itself, or what an engine was built from.
    """

    path: Path
    runner: Runner
    frames: int
    side: int
    detections: int
    labels: tuple[str, ...] | None
    digest: str


@contextmanager
def open_candidate(path: Path, open_engine: Callable[[Path], EngineRunner] = EngineRunner) -> Iterator[Candidate]:
    """A standard ONNX file in ONNX Runtime, or an engine (ENGINE_SUFFIXES) on the GPU at hand.

    An engine's key names no labels; `open_engine` is the seam for tests. Raises NotStandardError, CannotRunError, and
    EngineError for an engine.
    """
    if path.suffix not in ENGINE_SUFFIXES:
        file = StandardFile.read(path)
        labels = file.properties.labels
        yield Candidate(path, OnnxRunner(path), file.frames, file.side, file.detections, labels, file.digest)
        return
    with open_engine(path) as runner:
        key = runner.key
        yield Candidate(path, runner, key.frames, key.side, key.detections, None, key.onnx_digest)


def in_windows(frames: Frames, per_window: int) -> Frames:
    """Frames [n, S, S, 3] as windows [w, F, S, S, 3]; the last one is filled by repeating its last frame."""
    spare = -len(frames) % per_window
    padded = np.concatenate([frames, np.repeat(frames[-1:], spare, axis=0)])
    windows: Frames = padded.reshape(-1, per_window, *frames.shape[1:])
    return windows


def detect(runner: Runner, frames: Frames, per_window: int) -> Rows:
    """Detections [n, K, 6] in `frames` [n, S, S, 3]."""
    windows = in_windows(frames, per_window)
    rows = np.concatenate(
        [runner(windows[at : at + _WINDOWS_AT_ONCE]) for at in range(0, len(windows), _WINDOWS_AT_ONCE)]
    )
    return rows.reshape(-1, *rows.shape[2:])[: len(frames)]
