"""Converts wildgate's pictures to the network's side, channel order and value range."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from wildgate_build.importer.families.layout import PictureFormat, fragment
from wildgate_build.standard_graph import Opset

__all__ = ["picture_graph"]

# Mean and standard deviation of ImageNet's pictures, for R, G, B from 0 to 1, as torchvision's models document them.
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


def picture_graph(form: PictureFormat, side: int, network_side: int, *, half: bool, opset: Opset) -> ModelProto:
    """`pictures` float [n, 3, side, side], RGB from 0 to 255, to `ready` [n, 3, network_side, network_side].

    Another side is reached by bilinear interpolation between the middles of pixels, as OpenCV's INTER_LINEAR and
    the letterboxing of all families do it.
    """
    factor = _factor(side, network_side)
    order = slice(None, None, -1) if form.channels == "bgr" else slice(None)
    constants: dict[str, NDArray[np.generic]] = {
        "factors": np.array((1, 1, factor, factor), np.float32),
        "reversed": np.array((2, 1, 0), np.int64),
        "full": np.array(255, np.float32),
        "mean": np.array(_MEAN[order], np.float32).reshape(1, 3, 1, 1),
        "deviation": np.array(_DEVIATION[order], np.float32).reshape(1, 3, 1, 1),
    }
    steps = []  # operators with their attributes, and arguments behind the picture
    if network_side != side:
        linear = 'Resize <mode = "linear", coordinate_transformation_mode = "half_pixel">'
        steps.append((linear, ', "", factors'))
    if form.channels == "bgr":
        steps.append(("Gather <axis = 1>", ", reversed"))
    if form.values in ("0-1", "imagenet"):
        steps.append(("Div", ", full"))
    if form.values == "imagenet":
        steps += [("Sub", ", mean"), ("Div", ", deviation")]
    steps.append(("Cast <to = 10>", "") if half else ("Identity", ""))
    names = ["pictures", *(f"step{i}" for i in range(len(steps) - 1)), "ready"]
    lines = [f"{names[i + 1]} = {operator} ({names[i]}{behind})" for i, (operator, behind) in enumerate(steps)]
    kind = "float16" if half else "float"
    return fragment(
        opset,
        f"""pictures (float[n,3,{side},{side}] pictures) => ({kind}[n,3,{network_side},{network_side}] ready)
        {{ {" ".join(lines)} }}""",
        constants,
    )


def _factor(side: int, network_side: int) -> np.float32:
    """The smallest float32 factor that turns `side` into `network_side`: runtimes round the product down."""
    factor = np.float32(network_side / side)
    while float(factor) * side < network_side or np.float32(factor * np.float32(side)) < network_side:
        factor = np.nextafter(factor, np.float32(np.inf))
    return factor
