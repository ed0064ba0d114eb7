"""Runs a graph before it is written: are its values those of a detector?"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from wildgate_build.errors import ImportRefusedError
from wildgate_build.importer.network import Output
from wildgate_build.onnx_session import run
from wildgate_build.standard_graph import GraphShape

__all__ = ["check_core", "check_outputs", "check_standard"]

_SLACK = 1e-3  # float16 networks round a score of 1 up


def check_outputs(outputs: Iterable[Output]) -> None:
    """Raises ImportRefusedError when a value that the network gave for noise is not finite: its weights are damaged."""
    if wrong := [out.name for out in outputs if out.is_float and not np.isfinite(out.values).all()]:
        raise ImportRefusedError(
            f"on noise the network gives values of {', '.join(wrong)} that are not finite (NaN or infinite): "
            "are its weights damaged, or its float16 too narrow?"
        )


def check_core(core: ModelProto, side: int) -> None:
    """Feeds zeros and noise to `pictures` -> `boxes`, `scores`.

    Raises ImportRefusedError when a value is not finite, or a score is not a probability: it is another family then, or
    the network ends before its sigmoid.
    """
    noise = np.random.default_rng(0).uniform(0, 255, (1, 3, side, side)).astype(np.float32)
    (values,) = run(core, {"pictures": np.concatenate((np.zeros_like(noise), noise))})
    for name in ("boxes", "scores"):
        if not np.isfinite(values[name]).all():
            raise ImportRefusedError(f"on zeros and noise the network gives {name} that are not finite")
    low, high = float(values["scores"].min()), float(values["scores"].max())
    if low < -_SLACK or high > 1 + _SLACK:
        raise ImportRefusedError(
            f"on zeros and noise the scores go from {low:.3g} to {high:.3g}, and should be probabilities from 0 to 1; "
            "is it another --family, or an export without the last sigmoid?"
        )


def check_standard(model: ModelProto, shape: GraphShape, labels: int) -> None:
    """Feeds a window of zeros and one of noise, as one batch, to FRAMES -> DETECTIONS.

    Raises ImportRefusedError when a value is not finite or out of range.
    """
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (1, shape.frames, shape.side, shape.side, 3), np.uint8)
    (values,) = run(model, {"FRAMES": np.concatenate((np.zeros_like(noise), noise))})
    rows = np.asarray(values["DETECTIONS"], np.float64)
    if fault := _fault(rows, shape, labels):
        raise ImportRefusedError(f"on zeros and noise, DETECTIONS has {fault}")


def _fault(rows: NDArray[np.float64], shape: GraphShape, labels: int) -> str | None:
    """What is wrong with the values of DETECTIONS, or None."""
    if rows.shape != (2, shape.frames, shape.detections, 6):
        return f"the shape {list(rows.shape)}"
    if not np.isfinite(rows).all():
        return "values that are not finite"
    boxes, scores, names = rows[..., :4], rows[..., 4], rows[..., 5]
    if boxes.min() < 0 or boxes.max() > 1:
        return f"boxes from {boxes.min():.3g} to {boxes.max():.3g}"
    if scores.min() < 0 or scores.max() > 1 + _SLACK:
        return f"scores from {scores.min():.3g} to {scores.max():.3g}"
    if (names != np.round(names)).any() or names.min() < 0 or names.max() >= labels:
        return f"class indices from {names.min():g} to {names.max():g} for {labels} labels"
    if (np.diff(scores, axis=2) > 0).any():
        return "rows that are not in the order of their scores"
    return None
