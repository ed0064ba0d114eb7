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

from dataclasses import dataclass
from math import gcd
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, TensorProto, helper

from wildgate_build.fingerprint.nodes import Nodes
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
_LUMINANCE: Final = (43, 85, 16)
"""PDQ's (0.299, 0.587, 0.114; ITU-R BT.601) in 144ths. Two neighbours add up to 128 at most, so that CPUs without VNNI,
which add two products of a byte each in 16 bits, do not overflow."""
_LEVEL: Final = 2.0 * sum(_LUMINANCE)
"""A grey level in the sum of two neighbours."""
_BORDER_LEVELS: Final = 5.0
"""A line of pixels is border where none differs from their mean by more grey levels, in all frames. What compression
leaves of a bar is 1 to 3."""
_SHARP_LEVELS, _SHARP_SHARE = 5.0, 0.02
"""A line is more than a blur where this share of its second differences is larger. In a blurred fill few are."""
_LEAST_FILL: Final = 0.08
"""Of a side, that a blurred fill takes at either end, at least."""
_LEAST_SHARE: Final = 0.2
"""What is left of a side without borders, at least; otherwise the picture is a plain one, and all of it is taken."""

Matrix = npt.NDArray[np.float32]


def fingerprint_graph(frames: int | None, side: int) -> ModelProto:
    """The checked graph for windows of F `frames`, each a square of `side` pixels with the picture letterboxed in it.

    A place of PICTURE_SIZE 0 has the quality 0. Borders are lines of pixels at the edges of the picture that are
    uniform in every frame of a window. With `frames` None it is made for CPUs: one window at a time, of as many frames
    as it has, and the bytes are multiplied as such, a quarter of the work, which neither CUDA nor TensorRT can. The
    outputs are the same.
    """
    g = Nodes()
    windows = _Windows(1, -1) if frames is None else _Windows(-1, frames)
    luma = _luminance(g, windows, side)
    across, down, seen = _letterbox(g, windows, side)
    trimmed, sharp = _without_borders(g, luma, across, down, seen, windows, side)
    whole = (_flat(g, across), _flat(g, down))
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


class _Windows(NamedTuple):
    """How many windows a batch has, and how many frames each; -1 for the one of them that is not known."""

    batch: int
    frames: int


def _luminance(g: Nodes, windows: _Windows, side: int) -> str:
    """[b, F, S, S / 2] in units of 1 / _LEVEL, of two neighbours together: that halves what all that follows costs."""
    group = gcd(side, 32)  # a matrix product of three columns and one row is slow everywhere
    weights = np.kron(np.eye(group // 2), np.tile(_LUMINANCE, 2)[:, None])
    rows = g.shape(-1, 3 * group)
    if windows.batch == 1:
        product = g("MatMulInteger", g("Reshape", "FRAMES", rows), g.constant(weights, np.int8))
        luma = g("Cast", product, to=TensorProto.FLOAT)
    else:
        luma = g("MatMul", g("Reshape", g("Cast", "FRAMES", to=TensorProto.FLOAT), rows), g.constant(weights))
    return g("Reshape", luma, g.shape(*windows, side, side // 2))


@dataclass(frozen=True)
class _Extent:
    """From where to where the picture reaches along one axis, in pixels: two tensors [b * F, 1] or [b, 1]."""

    start: str
    end: str


@dataclass(frozen=True)
class _Cells:
    """How an axis is divided: so many cells of so many pixels."""

    count: int
    pixels: int


def _letterbox(g: Nodes, windows: _Windows, side: int) -> tuple[_Extent, _Extent, str]:
    """Where the decoder put each picture, [b, F], across and down; and 1 where there is one."""
    sizes = g("Cast", "PICTURE_SIZE", to=TensorProto.FLOAT)
    longer = g("ReduceMax", sizes, axes=[2], keepdims=1)
    seen = g.flag("Greater", longer, g.constant(0.5))
    scaled = g("Div", g("Mul", sizes, g.constant(side)), g("Max", longer, g.constant(1)))
    lengths = g("Max", g("Round", scaled), g.constant(1))
    starts = g("Floor", g("Mul", g("Sub", g.constant(side), lengths), g.constant(0.5)))
    ends = g("Add", starts, lengths)
    flat = g.shape(*windows)
    across, down = (
        _Extent(
            *(g("Reshape", g("Gather", edges, g.constant(axis, np.int64), axis=2), flat) for edges in (starts, ends))
        )
        for axis in (0, 1)
    )
    return across, down, g("Reshape", seen, flat)


def _without_borders(
    g: Nodes, luma: str, across: _Extent, down: _Extent, seen: str, windows: _Windows, side: int
) -> tuple[tuple[_Extent, _Extent], tuple[_Extent, _Extent]]:
    """The extents [b * F, 1], across and down, without the borders that all frames of a window share.

    And those without what is blurred, too: uploaders fill bars with the picture itself, enlarged and blurred.
    """
    seen4 = g("Reshape", seen, g.shape(*windows, 1, 1))
    unseen4 = g("Mul", g("Sub", g.constant(1), seen4), g.constant(255 * _LEVEL))
    brightest = g("ReduceMax", g("Sub", luma, unseen4), axes=[1], keepdims=0)
    darkest = g("ReduceMin", g("Add", luma, unseen4), axes=[1], keepdims=0)
    # What all pictures have in common; places without one have no say.
    unseen = g("Mul", g("Sub", g.constant(1), seen), g.constant(side))
    shared = []
    for axis in (across, down):
        start = g("ReduceMax", g("Mul", axis.start, seen), axes=[1], keepdims=1)
        end = g("ReduceMin", g("Add", axis.end, unseen), axes=[1], keepdims=1)
        shared.append(_Extent(start, end))
    wide, high = shared
    # Rows, columns, and rows again: a bar at the side hides that the rows beside it are uniform, too.
    rows = brightest, darkest
    columns = tuple(g("Transpose", picture, perm=[0, 2, 1]) for picture in rows)
    single, pairs = _Cells(side, 1), _Cells(side // 2, 2)
    new_high = _cut(g, _varied(g, rows, wide, pairs), high, single)
    new_wide = _cut(g, _varied(g, columns, new_high, single), wide, pairs)
    new_high = _cut(g, _varied(g, rows, new_wide, pairs), new_high, single)
    sharp_high = _alike(g, new_high, _cut(g, _sharp(g, brightest, new_wide, pairs), new_high, single))
    sharp_wide = _alike(g, new_wide, _cut(g, _sharp(g, columns[0], sharp_high, single), new_wide, pairs))

    def own(axis: _Extent, before: _Extent, after: _Extent) -> _Extent:
        """Of each picture: each edge moves by what is border there, in pictures that lie where all do."""
        start = g("Add", axis.start, g("Sub", after.start, before.start))
        end = g("Sub", axis.end, g("Sub", before.end, after.end))
        return _flat(g, _Extent(start, end))

    trimmed = own(across, wide, new_wide), own(down, high, new_high)
    return trimmed, (own(across, wide, sharp_wide), own(down, high, sharp_high))


def _flat(g: Nodes, extent: _Extent) -> _Extent:
    """From [b, F] to [b * F, 1]."""
    return _Extent(*(g("Reshape", edge, g.shape(-1, 1)) for edge in (extent.start, extent.end)))


def _varied(g: Nodes, lines: tuple[str, ...], within: _Extent, others: _Cells) -> str:
    """1 for the lines that are not uniform `within` the other axis' extent, [b, lines].

    `lines` [b, lines, others] are the brightest and the darkest of all frames.
    """
    brightest, darkest = lines
    inside = g("Reshape", _inside(g, within, others), g.shape(-1, others.count, 1))
    twice = g("Mul", g("ReduceSum", inside, g.shape(1), keepdims=1), g.constant(2))
    middle = g("Div", g("MatMul", g("Add", brightest, darkest), inside), g("Max", twice, g.constant(1)))
    apart = g("Max", g("Sub", brightest, middle), g("Sub", middle, darkest))
    apart = g("ReduceMax", g("Mul", apart, g("Transpose", inside, perm=[0, 2, 1])), axes=[2], keepdims=0)
    return g.flag("Greater", apart, g.constant(_BORDER_LEVELS * _LEVEL))


def _sharp(g: Nodes, lines: str, within: _Extent, others: _Cells) -> str:
    """1 for the lines that have more than a blur in them `within` the other axis' extent, by second differences."""
    inside = g("Reshape", _inside(g, within, others), g.shape(-1, others.count, 1))

    def from_(start: int, tensor: str, axis: int) -> str:
        return g("Slice", tensor, g.shape(start), g.shape(start + others.count - 2), g.shape(axis))

    sides = g("Add", from_(0, lines, 2), from_(2, lines, 2))
    bent = g("Abs", g("Sub", sides, g("Mul", from_(1, lines, 2), g.constant(2))))
    bent = g.flag("Greater", bent, g.constant(_SHARP_LEVELS * _LEVEL))
    inner = g("Mul", from_(0, inside, 1), from_(2, inside, 1))
    count = g("ReduceSum", inner, g.shape(1, 2), keepdims=0)
    most = g("Mul", g("Reshape", count, g.shape(-1, 1)), g.constant(_SHARP_SHARE))
    return g.flag("Greater", g("Squeeze", g("MatMul", bent, inner), g.shape(2)), most)


def _cut(g: Nodes, kept: str, along: _Extent, cells: _Cells) -> _Extent:
    """From the first to the last line that is `kept`, [b, lines]; the extent as it was if too little would be left."""
    picture = g("Mul", kept, _inside(g, along, cells))
    starts = np.arange(cells.count)[None] * cells.pixels
    elsewhere = g("Mul", g("Sub", g.constant(1), picture), g.constant(cells.count * cells.pixels))
    start = g("ReduceMin", g("Add", g("Mul", g.constant(starts), picture), elsewhere), axes=[1], keepdims=1)
    end = g("ReduceMax", g("Mul", g.constant(starts + cells.pixels), picture), axes=[1], keepdims=1)
    least = g("Mul", g("Sub", along.end, along.start), g.constant(_LEAST_SHARE))
    keeps = g("GreaterOrEqual", g("Sub", end, start), least)
    # A cell that the picture's own edge cuts in two is no border.
    moves = g("GreaterOrEqual", g("Sub", start, along.start), g.constant(cells.pixels))
    start = g("Where", g("And", keeps, moves), start, along.start)
    moves = g("GreaterOrEqual", g("Sub", along.end, end), g.constant(cells.pixels))
    return _Extent(start, g("Where", g("And", keeps, moves), end, along.end))


def _alike(g: Nodes, whole: _Extent, part: _Extent) -> _Extent:
    """As much cut off either end as off the one that loses less, if it is worth it: a fill is on both sides."""
    less = g("Min", g("Sub", part.start, whole.start), g("Sub", whole.end, part.end))
    least = g("Mul", g("Sub", whole.end, whole.start), g.constant(_LEAST_FILL))
    less = g("Mul", less, g.flag("GreaterOrEqual", less, least))
    return _Extent(g("Add", whole.start, less), g("Sub", whole.end, less))


def _inside(g: Nodes, extent: _Extent, cells: _Cells) -> str:
    """1 for the cells that lie within an extent with all that is theirs, [b, cells] or [b * F, 1, cells]."""
    starts = np.arange(cells.count) * cells.pixels
    after = g.flag("GreaterOrEqual", g.constant(starts), extent.start)
    return g("Mul", after, g.flag("LessOrEqual", g.constant(starts + cells.pixels), extent.end))


def _tents(g: Nodes, extent: _Extent, cells: _Cells) -> str:
    """What each place of the grid takes of the cells along one axis: [b * F, GRID, cells], each row's sum 1."""
    start, end = (g("Reshape", edge, g.shape(-1, 1, 1)) for edge in (extent.start, extent.end))
    length = g("Sub", end, start)
    middles = g("Add", g("Mul", length, g.constant(((np.arange(GRID) + 0.5) / GRID)[:, None])), start)
    # Where there are fewer cells than places, as linear interpolation does.
    half_width = g("Max", g("Mul", length, g.constant(1 / (2 * GRID))), g.constant(cells.pixels))
    places = g.constant((np.arange(cells.count) + 0.5) * cells.pixels)
    weights = g("Relu", g("Sub", half_width, g("Abs", g("Sub", places, middles))))
    weights = g("Mul", weights, _inside(g, _Extent(start, end), cells))
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
    g: Nodes, squares: str, extents: tuple[_Extent, _Extent], seen: str, windows: _Windows, side: int
) -> tuple[str, str]:
    """Hashes [b, F, regions, 32] of what lies within `extents` (across, down) of each square, and their quality."""
    across, down = extents
    rows, columns = _tents(g, down, _Cells(side, 1)), _tents(g, across, _Cells(side // 2, 2))
    grid = g("MatMul", g("MatMul", rows, squares), g("Transpose", columns, perm=[0, 2, 1]))
    return _bits(g, grid, windows), _quality(g, grid, seen, windows)


def _others(
    g: Nodes,
    squares: str,
    extents: tuple[_Extent, _Extent],
    known: tuple[_Extent, _Extent],
    seen: str,
    windows: _Windows,
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


def _bits(g: Nodes, grid: str, windows: _Windows) -> str:
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


def _quality(g: Nodes, grid: str, seen: str, windows: _Windows) -> str:
    """PDQ's: steps between neighbours in percent of the range, cut to whole ones, their sum over 90, at most 100."""
    lines = g.constant([[float(start <= at < end) for at in range(GRID)] for start, end in _PARTS])
    steps = g.constant([[float(start <= at < end - 1) for at in range(GRID - 1)] for start, end in _PARTS])
    sums = []
    for axis in (1, 2):
        near, far = (g("Slice", grid, g.shape(start), g.shape(start + GRID - 1), g.shape(axis)) for start in (0, 1))
        step = g("Floor", g("Abs", g("Mul", g("Sub", near, far), g.constant(100 / 255 / _LEVEL))))
        above, beside = (steps, lines) if axis == 1 else (lines, steps)
        sums.append(g("MatMul", g("MatMul", above, step), g("Transpose", beside, perm=[1, 0])))
    whole = np.array([(end - start) / GRID for start, end in _PARTS])
    per_quality = 90 * np.outer(whole, whole)[None]
    quality = g("Floor", g("Div", g("Add", *sums), g.constant(per_quality)))
    quality = g("Min", g("Reshape", quality, g.shape(*windows, _REGIONS)), g.constant(100))
    quality = g("Mul", quality, g("Reshape", seen, g.shape(*windows, 1)))
    return g("Cast", quality, to=TensorProto.INT32)
