"""`frame_fingerprint`: PDQ hashes of frames as an ONNX graph, for every runtime that takes plain tensor arithmetic.

    FRAMES uint8 [b, F, S, S, 3], PICTURE_SIZE int32 [b, F, 2]
        -> luminance -> borders cut -> 64x64 -> DCT -> median -> FINGERPRINT uint8 [b, F, K, 32]
        -> gradients -> FINGERPRINT_QUALITY int32 [b, F, K]

PDQ: "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm" (Facebook, 2019), and its reference
implementation, https://github.com/facebook/ThreatExchange/tree/main/pdq. Its filter (two box filters of half a cell,
a tent together) and its decimation to 64x64 are one matrix for each axis here, made from where the picture lies, so
that cutting it out costs nothing. The reference rounds both to whole pixels; in pictures as small as these that would
shift them by up to a third of a cell, and so it is not done here.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, TensorProto, helper

from wildgate_build.fingerprint.borders import Cells, Extent, flat, inside_of, letterbox, without_borders
from wildgate_build.fingerprint.luminance import LEVEL, Windows, luminance
from wildgate_build.nodes import Nodes
from wildgate_build.standard_graph import Opset

__all__ = ["GRID", "HASHES", "fingerprint_graph"]

GRID: Final = 64
"""The side of the small picture that PDQ transforms."""

_PARTS: Final = ((0, GRID), (0, 42), (GRID - 42, GRID))
"""Along each axis: the whole, and two thirds from either end. All with all make the hashes, the full picture first."""
_REGIONS: Final = len(_PARTS) ** 2
HASHES: Final = 3 * _REGIONS
"""K, as `HASHES_PER_FRAME` tells the rest of wildgate: those of the picture without borders, with them, and without
what is blurred around it."""

_FREQUENCIES: Final = 16
_BITS: Final = _FREQUENCIES**2

Matrix = npt.NDArray[np.float32]


def fingerprint_graph(frames: int | None, side: int) -> ModelProto:
    """The checked graph for windows of F `frames`, each a square of `side` pixels with the picture letterboxed in it.

    A place of PICTURE_SIZE 0 has the quality 0. Borders are lines of pixels at the edges of the picture that are
    uniform in every frame of a window. With `frames` None it is made for CPUs: one window at a time, of as many frames
    as it has, and the bytes are multiplied as such, a quarter of the work, which neither CUDA nor TensorRT can. The
    outputs are the same.
    """
    g = Nodes()
    windows = Windows(1, -1) if frames is None else Windows(-1, frames)
    luma = luminance(g, windows, side)
    across, down, seen = letterbox(g, windows, side)
    trimmed, sharp = without_borders(g, luma, across, down, seen, windows, side)
    whole = (flat(g, across), flat(g, down))
    squares = g("Reshape", luma, g.shape(-1, side, side // 2))
    hashes, qualities = zip(
        _hashes(g, squares, trimmed, seen, windows, side),
        *(_others(g, squares, extents, trimmed, seen, windows, side) for extents in (whole, sharp)),
        strict=True,
    )
    g("Concat", *hashes, output="FINGERPRINT", axis=2)
    g("Concat", *qualities, output="FINGERPRINT_QUALITY", axis=2)
    sizes = (1, "f") if frames is None else ("b", frames)
    graph = helper.make_graph(
        g.nodes,
        "frame_fingerprint",
        [
            helper.make_tensor_value_info("FRAMES", TensorProto.UINT8, [*sizes, side, side, 3]),
            helper.make_tensor_value_info("PICTURE_SIZE", TensorProto.INT32, [*sizes, 2]),
        ],
        [
            helper.make_tensor_value_info("FINGERPRINT", TensorProto.UINT8, [*sizes, HASHES, _BITS // 8]),
            helper.make_tensor_value_info("FINGERPRINT_QUALITY", TensorProto.INT32, [*sizes, HASHES]),
        ],
        g.constants,
    )
    opset = Opset()
    model = helper.make_model(
        graph,
        producer_name="wildgate",
        ir_version=opset.ir_version,
        opset_imports=[helper.make_opsetid("", opset.version)],
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _tents(g: Nodes, extent: Extent, cells: Cells) -> str:
    """What each place of the grid takes of the cells along one axis: [b * F, GRID, cells], each row's sum 1."""
    start, end = (g("Reshape", edge, g.shape(-1, 1, 1)) for edge in (extent.start, extent.end))
    length = g("Sub", end, start)
    middles = g("Add", g("Mul", length, g.constant(((np.arange(GRID) + 0.5) / GRID)[:, None])), start)
    # Where there are fewer cells than places, as linear interpolation does.
    half_width = g("Max", g("Mul", length, g.constant(1 / (2 * GRID))), g.constant(cells.pixels))
    places = g.constant((np.arange(cells.count) + 0.5) * cells.pixels)
    weights = g("Relu", g("Sub", half_width, g("Abs", g("Sub", places, middles))))
    weights = g("Mul", weights, inside_of(g, Extent(start, end), cells))
    total = g("MatMul", weights, g.constant(np.ones((cells.count, 1))))
    return g("Div", weights, g("Max", total, g.constant(1e-6)))


def _cosines() -> Matrix:
    """Rows of PDQ's DCT for each of the parts, [parts * 16, GRID]: frequencies 16 to 1, as its bits are written."""
    rows = np.zeros((len(_PARTS), _FREQUENCIES, GRID))
    frequency = np.arange(_FREQUENCIES, 0, -1)[:, None]
    for part, (start, end) in zip(rows, _PARTS, strict=True):
        length = end - start
        place = np.arange(length)[None]
        part[:, start:end] = np.sqrt(2 / length) * np.cos(np.pi / 2 / length * frequency * (2 * place + 1))
    return rows.reshape(-1, GRID).astype(np.float32)


def _hashes(
    g: Nodes, squares: str, extents: tuple[Extent, Extent], seen: str, windows: Windows, side: int
) -> tuple[str, str]:
    """Hashes [b, F, regions, 32] of what lies within `extents` (across, down) of each square, and their quality."""
    across, down = extents
    rows, columns = _tents(g, down, Cells(side, 1)), _tents(g, across, Cells(side // 2, 2))
    grid = g("MatMul", g("MatMul", rows, squares), g("Transpose", columns, perm=[0, 2, 1]))
    return _bits(g, grid, windows), _quality(g, grid, seen, windows)


def _others(
    g: Nodes,
    squares: str,
    extents: tuple[Extent, Extent],
    known: tuple[Extent, Extent],
    seen: str,
    windows: Windows,
    side: int,
) -> tuple[str, str]:
    """As `_hashes`, with a quality of 0 where the extents are those `known`; nothing is done if all are."""
    moved = [
        g("Abs", g("Sub", *edges))
        for one, other in zip(extents, known, strict=True)
        for edges in ((one.start, other.start), (one.end, other.end))
    ]
    differs = g.flag("Greater", g("Sum", *moved), g.constant(0.5))
    any_differs = g("Squeeze", g("Cast", g("ReduceMax", differs, keepdims=0), to=TensorProto.BOOL))
    then, otherwise = g.branch(), g.branch()
    hashes, quality = _hashes(then, squares, extents, seen, windows, side)
    own = then("Cast", then("Reshape", differs, g.shape(*windows, 1)), to=TensorProto.INT32)
    both = otherwise("Shape", seen)
    nothing = [
        otherwise("Expand", g.constant(0, kind), otherwise("Concat", both, g.shape(*dims), axis=0))
        for kind, dims in ((np.uint8, (_REGIONS, _BITS // 8)), (np.int32, (_REGIONS,)))
    ]
    found = g.either(any_differs, (then, [hashes, then("Mul", quality, own)]), (otherwise, nothing))
    return found[0], found[1]


def _bits(g: Nodes, grid: str, windows: Windows) -> str:
    parts = len(_PARTS)
    cosines = _cosines()
    blocks = g("MatMul", g("MatMul", g.constant(cosines), grid), g.constant(cosines.T))
    blocks = g("Reshape", blocks, g.shape(-1, parts, _FREQUENCIES, parts, _FREQUENCIES))
    values = g("Reshape", g("Transpose", blocks, perm=[0, 1, 3, 2, 4]), g.shape(-1, _REGIONS, _BITS))
    # The lower of the two in the middle, as the reference's.
    upper_half, _ = g.several("TopK", values, g.shape(_BITS // 2 + 1), outputs=2, axis=2, sorted=0)
    median = g("ReduceMin", upper_half, axes=[2], keepdims=1)
    bits = g("Reshape", g.flag("Greater", values, median), g.shape(-1, _REGIONS, _BITS // 8, 8))
    octets = g("MatMul", bits, g.constant([[1 << place] for place in range(7, -1, -1)]))
    octets = g("Reshape", octets, g.shape(*windows, _REGIONS, _BITS // 8))
    return g("Cast", octets, to=TensorProto.UINT8)


def _quality(g: Nodes, grid: str, seen: str, windows: Windows) -> str:
    """PDQ's: steps between neighbours in percent of the range, cut to whole ones, their sum over 90, at most 100."""
    lines = g.constant([[float(start <= at < end) for at in range(GRID)] for start, end in _PARTS])
    steps = g.constant([[float(start <= at < end - 1) for at in range(GRID - 1)] for start, end in _PARTS])
    sums = []
    for axis in (1, 2):
        near, far = (g("Slice", grid, g.shape(start), g.shape(start + GRID - 1), g.shape(axis)) for start in (0, 1))
        step = g("Floor", g("Abs", g("Mul", g("Sub", near, far), g.constant(100 / 255 / LEVEL))))
        above, beside = (steps, lines) if axis == 1 else (lines, steps)
        sums.append(g("MatMul", g("MatMul", above, step), g("Transpose", beside, perm=[1, 0])))
    whole = np.array([(end - start) / GRID for start, end in _PARTS])
    per_quality = 90 * np.outer(whole, whole)[None]
    quality = g("Floor", g("Div", g("Add", *sums), g.constant(per_quality)))
    quality = g("Min", g("Reshape", quality, g.shape(*windows, _REGIONS)), g.constant(100))
    quality = g("Mul", quality, g("Reshape", seen, g.shape(*windows, 1)))
    return g("Cast", quality, to=TensorProto.INT32)
