"""The brightness of frames, which all of a fingerprint is made of."""

from __future__ import annotations

from math import gcd
from typing import Final, NamedTuple

import numpy as np
from onnx import TensorProto

from wildgate_build.nodes import Nodes

__all__ = ["LEVEL", "Windows", "luminance"]

_LUMINANCE: Final = (43, 85, 16)
"""PDQ's (0.299, 0.587, 0.114; ITU-R BT.601) in 144ths. Two neighbours add up to 128 at most, so that CPUs without VNNI,
which add two products of a byte each in 16 bits, do not overflow."""
LEVEL: Final = 2.0 * sum(_LUMINANCE)
"""A grey level in the sum of two neighbours."""


class Windows(NamedTuple):
    """How many windows a batch has, and how many frames each; -1 for the one of them that is not known."""

    batch: int
    frames: int


def luminance(g: Nodes, windows: Windows, side: int) -> str:
    """[b, F, S, S / 2] in units of 1 / LEVEL, of two neighbours together: that halves what all that follows costs."""
    group = gcd(side, 32)  # a matrix product of three columns and one row is slow everywhere
    weights = np.kron(np.eye(group // 2), np.tile(_LUMINANCE, 2)[:, None])
    rows = g.shape(-1, 3 * group)
    if windows.batch == 1:
        product = g("MatMulInteger", g("Reshape", "FRAMES", rows), g.constant(weights, np.int8))
        luma = g("Cast", product, to=TensorProto.FLOAT)
    else:
        luma = g("MatMul", g("Reshape", g("Cast", "FRAMES", to=TensorProto.FLOAT), rows), g.constant(weights))
    return g("Reshape", luma, g.shape(*windows, side, side // 2))
