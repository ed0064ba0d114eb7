"""Where in each frame the picture lies: without the letterbox, without borders, and without a blurred fill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from onnx import TensorProto

from wildgate_build.fingerprint.luminance import LEVEL, Windows
from wildgate_build.nodes import Nodes

__all__ = ["Cells", "Extent", "flat", "inside_of", "letterbox", "without_borders"]

_BORDER_LEVELS: Final = 5.0
"""A line of pixels is border where none differs from their mean by more grey levels, in all frames. What compression
leaves of a bar is 1 to 3."""
_EDGE_LEVELS, _EDGE_SHARE = 4.0, 0.2
"""A line is an edge where this share of it differs by more levels from the lines beside it, each half. A blurred fill
has no edges in it, and one around the picture."""
_MOST_ROUGH: Final = 0.03
"""Such differences in a fill, at most: what compression leaves, and marks of the app."""
_LEAST_FILL: Final = 0.08
"""Of a side, that a blurred fill takes at either end, at least."""
_LEAST_SHARE: Final = 0.2
"""What is left of a side without borders, at least; otherwise the picture is a plain one, and all of it is taken."""


@dataclass(frozen=True)
class Extent:
    """From where to where the picture reaches along one axis, in pixels: two tensors [b * F, 1] or [b, 1]."""

    start: str
    end: str


@dataclass(frozen=True)
class Cells:
    """How an axis is divided: so many cells of so many pixels."""

    count: int
    pixels: int


def letterbox(g: Nodes, windows: Windows, side: int) -> tuple[Extent, Extent, str]:
    """Where the decoder put each picture, [b, F], across and down; and 1 where there is one."""
    sizes = g("Cast", "PICTURE_SIZE", to=TensorProto.FLOAT)
    longer = g("ReduceMax", sizes, axes=[2], keepdims=1)
    seen = g.flag("Greater", longer, g.constant(0.5))
    scaled = g("Div", g("Mul", sizes, g.constant(side)), g("Max", longer, g.constant(1)))
    lengths = g("Max", g("Round", scaled), g.constant(1))
    starts = g("Floor", g("Mul", g("Sub", g.constant(side), lengths), g.constant(0.5)))
    ends = g("Add", starts, lengths)
    per_picture = g.shape(*windows)
    across, down = (
        Extent(
            *(
                g("Reshape", g("Gather", edges, g.constant(axis, np.int64), axis=2), per_picture)
                for edges in (starts, ends)
            )
        )
        for axis in (0, 1)
    )
    return across, down, g("Reshape", seen, per_picture)


def without_borders(
    g: Nodes, luma: str, across: Extent, down: Extent, seen: str, windows: Windows, side: int
) -> tuple[tuple[Extent, Extent], tuple[Extent, Extent]]:
    """The extents [b * F, 1], across and down, without the borders that all frames of a window share.

    And those without what is blurred, too: uploaders fill bars with the picture itself, enlarged and blurred.
    """
    seen4 = g("Reshape", seen, g.shape(*windows, 1, 1))
    unseen4 = g("Mul", g("Sub", g.constant(1), seen4), g.constant(255 * LEVEL))
    brightest = g("ReduceMax", g("Sub", luma, unseen4), axes=[1], keepdims=0)
    darkest = g("ReduceMin", g("Add", luma, unseen4), axes=[1], keepdims=0)
    # What all pictures have in common; places without one have no say.
    unseen = g("Mul", g("Sub", g.constant(1), seen), g.constant(side))
    shared = []
    for axis in (across, down):
        start = g("ReduceMax", g("Mul", axis.start, seen), axes=[1], keepdims=1)
        end = g("ReduceMin", g("Add", axis.end, unseen), axes=[1], keepdims=1)
        shared.append(Extent(start, end))
    wide, high = shared
    # Rows, columns, and rows again: a bar at the side hides that the rows beside it are uniform, too.
    rows = brightest, darkest
    columns = tuple(g("Transpose", picture, perm=[0, 2, 1]) for picture in rows)
    single, pairs = Cells(side, 1), Cells(side // 2, 2)
    new_high = _cut(g, _varied(g, rows, wide, pairs), high, single)
    new_wide = _cut(g, _varied(g, columns, new_high, single), wide, pairs)
    new_high = _cut(g, _varied(g, rows, new_wide, pairs), new_high, single)
    mean = _mean(g, luma, seen, windows, side)
    x, y = _Axis(wide, new_wide, pairs), _Axis(high, new_high, single)
    vertical = _unfilled(g, mean, y, x)
    horizontal = _unfilled(g, g("Transpose", mean, perm=[0, 2, 1]), x, y)
    sharp_high, sharp_wide = _without_fill(g, y, vertical, horizontal), _without_fill(g, x, horizontal, vertical)

    def own(axis: Extent, before: Extent, after: Extent) -> Extent:
        """Of each picture: each edge moves by what is border there, in pictures that lie where all do."""
        start = g("Add", axis.start, g("Sub", after.start, before.start))
        end = g("Sub", axis.end, g("Sub", before.end, after.end))
        return flat(g, Extent(start, end))

    trimmed = own(across, wide, new_wide), own(down, high, new_high)
    return trimmed, (own(across, wide, sharp_wide), own(down, high, sharp_high))


def flat(g: Nodes, extent: Extent) -> Extent:
    """From [b, F] to [b * F, 1]."""
    return Extent(*(g("Reshape", edge, g.shape(-1, 1)) for edge in (extent.start, extent.end)))


def _varied(g: Nodes, lines: tuple[str, ...], within: Extent, others: Cells) -> str:
    """1 for the lines that are not uniform `within` the other axis' extent, [b, lines].

    `lines` [b, lines, others] are the brightest and the darkest of all frames.
    """
    brightest, darkest = lines
    inside = g("Reshape", inside_of(g, within, others), g.shape(-1, others.count, 1))
    twice = g("Mul", g("ReduceSum", inside, g.shape(1), keepdims=1), g.constant(2))
    middle = g("Div", g("MatMul", g("Add", brightest, darkest), inside), g("Max", twice, g.constant(1)))
    apart = g("Max", g("Sub", brightest, middle), g("Sub", middle, darkest))
    apart = g("ReduceMax", g("Mul", apart, g("Transpose", inside, perm=[0, 2, 1])), axes=[2], keepdims=0)
    return g.flag("Greater", apart, g.constant(_BORDER_LEVELS * LEVEL))


def _mean(g: Nodes, luma: str, seen: str, windows: Windows, side: int) -> str:
    """Of all pictures of a window, [b, S, S / 2]: what moves is blurred there, and what stays is not."""
    weights = g("Div", seen, g("Max", g("ReduceSum", seen, g.shape(1), keepdims=1), g.constant(1)))
    weights = g("Reshape", weights, g.shape(windows.batch, 1, windows.frames))
    mean = g("MatMul", weights, g("Reshape", luma, g.shape(*windows, side * side // 2)))
    return g("Reshape", mean, g.shape(-1, side, side // 2))


@dataclass(frozen=True)
class _Axis:
    """Of the picture that all frames of a window share: the `whole`, and what is left of it without borders."""

    whole: Extent
    trimmed: Extent
    cells: Cells


@dataclass(frozen=True)
class _Unfilled:
    """What of an axis may be no blurred fill, and how rough the fill is then: [b, 1]; over 1 if there is none."""

    extent: Extent
    roughness: str


def _unfilled(g: Nodes, picture: str, along: _Axis, across: _Axis) -> _Unfilled:
    """`picture` is [b, cells of `along`, cells of `across`]."""
    cells, others, trimmed = along.cells, across.cells, along.trimmed
    inside = g("Reshape", inside_of(g, across.trimmed, others), g.shape(-1, others.count, 1))
    before, at, after = (
        g("Slice", picture, g.shape(start), g.shape(start + cells.count - 2), g.shape(1)) for start in range(3)
    )
    bent = g("Abs", g("Sub", g("Add", before, after), g("Mul", at, g.constant(2))))
    bent = g("MatMul", g.flag("Greater", bent, g.constant(_EDGE_LEVELS * LEVEL)), inside)
    share = g("Div", bent, g("Max", g("ReduceSum", inside, g.shape(1), keepdims=1), g.constant(1)))
    share = g("Pad", g("Squeeze", share, g.shape(2)), g.shape(0, 1, 0, 1))
    least = g("Mul", g("Sub", trimmed.end, trimmed.start), g.constant(_LEAST_FILL))
    inner = inside_of(g, _shorter(g, trimmed, least), cells)
    part = _cut(g, g("Mul", g.flag("GreaterOrEqual", share, g.constant(_EDGE_SHARE)), inner), trimmed, cells)
    # A fill takes as much at both ends, of which some may be as uniform as a border.
    whole = along.whole
    part = _shorter(g, whole, g("Min", g("Sub", part.start, whole.start), g("Sub", whole.end, part.end)))
    part = Extent(g("Max", part.start, trimmed.start), g("Min", part.end, trimmed.end))
    shorter = g("Sub", g("Sub", trimmed.end, trimmed.start), g("Sub", part.end, part.start))
    there = g.flag("Greater", shorter, g.constant(0))
    # The outermost lines differ from what is no picture.
    filled = inside_of(g, _shorter(g, trimmed, g.constant(cells.pixels)), cells)
    filled = g("Mul", filled, g("Sub", g.constant(1), inside_of(g, part, cells)))
    lines = g("Max", g("ReduceSum", filled, g.shape(1), keepdims=1), g.constant(1))
    rough = g("Div", g("ReduceSum", g("Mul", share, filled), g.shape(1), keepdims=1), lines)
    # The first line that differs is the fill's own last one.
    part = _shorter(g, part, g("Mul", there, g.constant(cells.pixels)))
    return _Unfilled(part, g("Add", rough, g("Mul", g("Sub", g.constant(1), there), g.constant(2))))


def _without_fill(g: Nodes, axis: _Axis, own: _Unfilled, other: _Unfilled) -> Extent:
    """What is left of an axis without its fill; all where that is rough, or rougher than along the `other` axis."""
    blurred = g("LessOrEqual", own.roughness, g.constant(_MOST_ROUGH))
    less = g("LessOrEqual", own.roughness, other.roughness)
    is_fill = g("And", blurred, less)
    return Extent(
        g("Where", is_fill, own.extent.start, axis.trimmed.start), g("Where", is_fill, own.extent.end, axis.trimmed.end)
    )


def _shorter(g: Nodes, extent: Extent, pixels: str) -> Extent:
    """Less so many at either end."""
    return Extent(g("Add", extent.start, pixels), g("Sub", extent.end, pixels))


def _cut(g: Nodes, kept: str, along: Extent, cells: Cells) -> Extent:
    """From the first to the last line that is `kept`, [b, lines]; the extent as it was if too little would be left."""
    picture = g("Mul", kept, inside_of(g, along, cells))
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
    return Extent(start, g("Where", g("And", keeps, moves), end, along.end))


def _alike(g: Nodes, whole: Extent, part: Extent) -> Extent:
    """As much cut off either end as off the one that loses less, if it is worth it: a fill is on both sides."""
    less = g("Min", g("Sub", part.start, whole.start), g("Sub", whole.end, part.end))
    least = g("Mul", g("Sub", whole.end, whole.start), g.constant(_LEAST_FILL))
    less = g("Mul", less, g.flag("GreaterOrEqual", less, least))
    return Extent(g("Add", whole.start, less), g("Sub", whole.end, less))


def inside_of(g: Nodes, extent: Extent, cells: Cells) -> str:
    """1 for the cells that lie within an extent with all that is theirs, [b, cells] or [b * F, 1, cells]."""
    starts = np.arange(cells.count) * cells.pixels
    after = g.flag("GreaterOrEqual", g.constant(starts), extent.start)
    return g("Mul", after, g.flag("LessOrEqual", g.constant(starts + cells.pixels), extent.end))
