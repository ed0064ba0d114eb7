"""A standard graph that needs no training: it sees the same thing in every frame."""

from pathlib import Path

import onnx
from onnx import parser

from wildgate_detector.labels import LABELS

TUSK = LABELS.index("elephant_tusk")


def write_constant_detector(path: Path, score: float, side: int) -> Path:
    """Write to `path` a graph that sees a tusk of `score` all over every frame of `side` pixels."""
    model = parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        constant (uint8[b,8,{side},{side},3] FRAMES) => (float[b,8,1,6] DETECTIONS)
        <float[1,8,1,6] rows = {{{", ".join([f"0, 0, 1, 1, {score}, {TUSK}"] * 8)}}}>
        {{
            grey = Cast <to = 1> (FRAMES)
            axes = Constant <value = int64[3] {{2, 3, 4}}> ()
            small = ReduceMean <axes = [2, 3, 4], keepdims = 1> (grey)
            zero = Constant <value = float {{0.0}}> ()
            none = Mul (small, zero)
            flat = Squeeze (none, axes)
            last = Constant <value = int64[2] {{2, 3}}> ()
            spread = Unsqueeze (flat, last)
            DETECTIONS = Add (spread, rows)
        }}"""
    )
    onnx.save_model(model, path)
    return path
