"""A detector of four convolutions that sees red and blue squares, as a standard file, and videos that show them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from clips import ClipSpec, make_clip
from onnx import ModelProto, numpy_helper, parser

from wildgate_build.standard_file import Properties, write_properties
from wildgate_build.standard_graph import GraphShape, standard_graph

SIDE, FRAMES, DETECTIONS = 64, 4, 4
LABELS = ("rhino_horn", "live_tiger")  # red and blue; the shipped policy has rules for both
CELL = 8

_CELLS = SIDE // CELL
SHAPE = GraphShape(_CELLS**2, len(LABELS), FRAMES, SIDE, DETECTIONS)

_CORE = f"""
<ir_version: 8, opset_import: ["" : 17]>
core (float[n,3,{SIDE},{SIDE}] pictures) => (float[n,{_CELLS**2},4] boxes, float[n,{_CELLS**2},2] scores)
{{
    centred = Sub (pictures, grey)
    scaled = Mul (centred, contrast)
    seen = Conv <strides = [{CELL}, {CELL}]> (scaled, see, see_bias)
    seen0 = Relu (seen)
    mixed = Conv (seen0, mix, mix_bias)
    mixed0 = Relu (mixed)
    both = Add (seen0, mixed0)
    name_map = Conv (both, name, name_bias)
    size_map = Conv (both, size, size_bias)
    name_rows = Reshape (name_map, name_shape)
    size_rows = Reshape (size_map, size_shape)
    logits = Transpose <perm = [0, 2, 1]> (name_rows)
    sizes = Transpose <perm = [0, 2, 1]> (size_rows)
    low = Sub (centres, sizes)
    high = Add (centres, sizes)
    boxes = Concat <axis = 2> (low, high)
    scores = Sigmoid (logits)
}}
"""


def colour_detector(outlier: float = 0.0, scale: float = 1.0, passing: int = 0) -> ModelProto:
    """The detector without properties.

    `outlier` is the size of a channel that tells nothing and spoils the range of all others; `scale` multiplies the
    scores' weights; `passing` more convolutions pass on what they get.
    """
    rng = np.random.default_rng(3)
    see = rng.normal(0, 0.02, (8, 3, CELL, CELL)) / CELL**2
    see[0, 0], see[0, 2] = 1 / CELL**2, -1 / CELL**2
    see[1, 0], see[1, 2] = -1 / CELL**2, 1 / CELL**2
    mix_bias = np.zeros(8)
    mix_bias[7] = outlier
    mix = np.eye(8)[..., None, None] * 0.5 + rng.normal(0, 0.02, (8, 8, 1, 1))
    mix[:, 7] = 0
    name = np.zeros((2, 8, 1, 1))
    name[0, 0], name[1, 1] = 2.6 * scale, 2.6 * scale
    ticks = (np.arange(_CELLS) + 0.5) * CELL
    y, x = np.meshgrid(ticks, ticks, indexing="ij")
    constants = {
        "grey": np.float32(114),
        "contrast": np.float32(1 / 64),
        "see": see,
        "see_bias": np.full(8, 0.1),
        "mix": mix,
        "mix_bias": mix_bias,
        "name": name,
        "name_bias": np.full(2, -6.0),
        "size": rng.normal(0, 0.05, (2, 8, 1, 1)) * (np.arange(8) < 7)[None, :, None, None],
        "size_bias": np.full(2, 10.0),
        "centres": np.stack((x.ravel(), y.ravel()), 1)[None],
    }
    core = parser.parse_model(_CORE)
    core.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value, np.float32), key) for key, value in constants.items()
    )
    pass_on(core, passing)
    shapes = {"name_shape": (-1, 2, _CELLS**2), "size_shape": (-1, 2, _CELLS**2)}
    core.graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.int64), key) for key, value in shapes.items()
    )
    return standard_graph(core, SHAPE, {})


def pass_on(core: ModelProto, convolutions: int) -> None:
    """Puts so many convolutions that change nothing behind the first one."""
    graph = core.graph
    graph.initializer.append(numpy_helper.from_array(np.eye(8, dtype=np.float32)[..., None, None], "pass"))
    at = next(at for at, node in enumerate(graph.node) if node.output[0] == "seen0")
    graph.node[at].output[0] = "passed0"
    for number in range(convolutions):
        node = onnx.helper.make_node("Conv", [f"passed{number}", "pass"], [f"passed{number + 1}"])
        graph.node.insert(at + 1 + number, node)
    for node in graph.node:
        node.input[:] = [f"passed{convolutions}" if name == "seen0" else name for name in node.input]


def write_detector(path: Path, model: ModelProto | None = None, **changes: object) -> Path:
    """The detector as a standard file; `changes` are properties."""
    model = model or colour_detector()
    known = {
        "name": "colours",
        "labels": LABELS,
        "family": "test",
        "source_digest": "blake3:" + "0" * 64,
        "precision": "fp32",
    }
    write_properties(model, Properties(**{**known, **changes}))
    onnx.save_model(model, path)
    return path


def colours(number: int, width: int, height: int) -> np.ndarray:
    """Frame `number`: a red and a blue square that wander, over a grey ramp."""
    ramp = np.linspace(90, 150, width).astype(np.uint8)
    rgb = np.repeat(np.repeat(ramp[None, :, None], height, 0), 3, 2).copy()
    for colour, x, y in (((225, 60, 40), 5 * number, 3 * number), ((40, 70, 220), 60 + 7 * number, 50 + 5 * number)):
        left, top = x % (width - 24), y % (height - 24)
        rgb[top : top + 24, left : left + 24] = colour
    return rgb


def write_video(path: Path, first: int = 0, seconds: int = 40, paint=colours) -> Path:
    """A video that is looked at every second, for as long as a minute."""
    spec = ClipSpec(width=96, height=96, fps=1, seconds=seconds, keyframe_interval=1, first_frame=first, paint=paint)
    make_clip(spec, path)
    return path
