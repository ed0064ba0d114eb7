"""Lets a detector for CPUs leave out the letterbox's bars: 40 % of the work where a video is 16:9.

    FRAMES -> cut to the picture -> what works place by place -> maps, filled up to the square -> all else

The cut goes to multiples of the coarsest stride: every place stays where it is on the grid. What the network makes of
a frame that is nothing but bars fills the maps up. The part that works place by place is found by which sizes follow
that of FRAMES, not by names. Only for CPUs: engines have static shapes.

Convolutions see zeros beyond the cut where they saw a bar, so scores move: docs/model-card.md says by how much.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import lcm
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from wildgate_build.errors import CannotRunError, PrecisionError
from wildgate_build.nodes import Nodes
from wildgate_build.onnx_session import run
from wildgate_build.precision.body import constants_of, without_unused
from wildgate_build.standard_file import INPUT, OUTPUT
from wildgate_build.standard_graph import Opset

__all__ = ["without_bars"]

Frames = npt.NDArray[np.uint8]

_MULTIPLE: Final = 64  # of the strides of detectors


def without_bars(model: ModelProto, letterbox: int) -> ModelProto:
    """`model`, a standard graph, with the work left out for bars of the value `letterbox`.

    A bar is what all frames share that are given at once: different videos are best given one after the other. Answers
    for frames without bars stay the same to the last bit.

    Raises PrecisionError when bars cannot be left out: the network has sizes that do not follow its input's, or
    sees something where there are only bars.
    """
    side = model.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    part = _Part.of(model, side)
    if part.step == 1:
        raise PrecisionError("no convolution's sizes follow those of its input: bars cannot be left out")
    bars = np.full((1, 1, side, side, 3), letterbox, np.uint8)
    seen = _values(model, bars, [each.tensor for each in part.maps])
    if seen[OUTPUT][..., 4].any():
        raise PrecisionError("the detector sees something in a frame that is all bars: they cannot be left out")
    result = _cutting(model, part, letterbox, seen)
    bars[:, :, side // 3 : side // 2] = 255 - letterbox
    try:
        run(result, {INPUT: bars}, {INPUT: bars.swapaxes(2, 3)})
    except CannotRunError as error:
        raise PrecisionError(f"the network takes no part of a frame, so bars cannot be left out: {error}") from error
    return result


@dataclass(frozen=True)
class _Map:
    """A tensor that ends the part: its sizes, the axes of its rows and columns, and the pixels between them."""

    tensor: str
    sizes: tuple[int, ...]
    axes: tuple[int, int]
    strides: tuple[int, int]


@dataclass(frozen=True)
class _Part:
    """The operators that work place by place, by all that comes out of them, and the maps in which they end.

    Of these outputs every size is fixed, or follows the height or the width of FRAMES in proportion. The part ends
    where they are mixed, as in a Reshape to one row of places, and where sizes are asked for.
    """

    side: int
    inside: frozenset[str]
    maps: tuple[_Map, ...]

    @property
    def step(self) -> int:
        """The coarsest stride, in pixels: 1 where nothing but pixels is inside."""
        return lcm(*(stride for each in self.maps for stride in each.strides))

    @classmethod
    def of(cls, model: ModelProto, side: int) -> _Part:
        """The part of `model`. Raises PrecisionError when what ends there has no rows and columns."""
        shorter = max(side - _MULTIPLE, side // 2)
        sizes = [_sizes(model, *size) for size in ((side, side), (shorter, side), (side, shorter))]
        patterns = {"": (1, 1, 1), "h": (side, shorter, side), "w": (side, side, shorter)}

        def axes_of(name: str) -> list[str] | None:
            """What each size follows; None where one follows neither."""
            each = [known[name] for known in sizes if name in known]
            if len(each) < len(sizes) or len({len(one) for one in each}) > 1:
                return None
            fits = [
                [axis for axis, pattern in patterns.items() if _in_proportion(lengths, pattern)]
                for lengths in zip(*each, strict=True)
            ]
            return [axes[0] for axes in fits] if all(fits) else None

        fixed, inside, ends = constants_of(model.graph), {INPUT: ["", "", "h", "w", ""]}, dict[str, None]()
        for node in model.graph.node:
            varying = [name for name in node.input if name and name not in fixed]
            held = [name for name in varying if name in inside]
            axes = {name: found for name in node.output if (found := axes_of(name)) is not None}
            if held and held == varying and node.op_type != "Shape" and len(axes) == len(node.output):
                inside |= axes
            else:
                ends |= dict.fromkeys(name for name in held if name != INPUT and any(inside[name]))
        return cls(side, frozenset(inside), tuple(_map(name, sizes[0][name], inside[name], side) for name in ends))


def _in_proportion(lengths: Iterable[int], pattern: tuple[int, ...]) -> bool:
    first, *others = lengths
    return first > 0 and all(
        other * pattern[0] == first * share for other, share in zip(others, pattern[1:], strict=True)
    )


def _map(name: str, sizes: list[int], follows: list[str], side: int) -> _Map:
    if [axis for axis in follows if axis] != ["h", "w"]:
        raise PrecisionError(f"{name} has no rows of places: bars cannot be left out")
    axes = follows.index("h"), follows.index("w")
    return _Map(name, tuple(sizes), axes, (side // sizes[axes[0]], side // sizes[axes[1]]))


def _sizes(model: ModelProto, height: int, width: int) -> dict[str, list[int]]:
    """The sizes of all tensors where one frame of this size is given; those that cannot be inferred are left out."""
    resized = ModelProto()
    resized.CopyFrom(model)
    for dim, size in zip(resized.graph.input[0].type.tensor_type.shape.dim, (1, 1, height, width, 3), strict=True):
        dim.dim_value = size
    del resized.graph.value_info[:]
    foldings = _foldings(model)
    for tensor in resized.graph.initializer:
        if tensor.name in foldings:
            tensor.CopyFrom(numpy_helper.from_array(np.array((-1, height, width, 3)), tensor.name))
    inferred = onnx.shape_inference.infer_shapes(resized, data_prop=True)
    return {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in inferred.graph.value_info
        if value.type.tensor_type.HasField("shape")
    }


def _foldings(model: ModelProto) -> set[str]:
    """The shapes by which FRAMES [b, F, S, S, 3] become [b*F, S, S, 3]."""
    nodes = model.graph.node
    frames = {INPUT, *(node.output[0] for node in nodes if node.op_type == "Cast" and node.input[0] == INPUT)}
    return {node.input[1] for node in nodes if node.op_type == "Reshape" and node.input[0] in frames}


def _values(model: ModelProto, frames: Frames, tensors: Iterable[str]) -> dict[str, npt.NDArray[np.generic]]:
    """What the graph gives for these frames, and these tensors in it."""
    asked = ModelProto()
    asked.CopyFrom(model)
    asked.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in tensors)
    (values,) = run(onnx.shape_inference.infer_shapes(asked), {INPUT: frames})
    return values


def _cutting(model: ModelProto, part: _Part, letterbox: int, seen: Mapping[str, npt.NDArray[np.generic]]) -> ModelProto:
    """The graph that cuts FRAMES and fills up the part's maps with the middle of those `seen` in a frame of bars."""
    g = Nodes(prefix="bars_")
    start, end = _picture(g, letterbox, part.step, part.side, Opset.of(model))
    cut = {INPUT: g("Slice", INPUT, start, end, g.shape(2, 3))}
    cut |= dict.fromkeys(_foldings(model), g("Concat", g.shape(-1), g("Sub", end, start), g.shape(3), axis=0))
    by_name, filled = {each.tensor: each for each in part.maps}, dict[str, str]()
    for node in model.graph.node:
        held = NodeProto()
        held.CopyFrom(node)
        new = cut if part.inside.issuperset(node.output) else filled
        held.input[:] = [new.get(name, name) for name in node.input]
        g.nodes.append(held)
        for each in (by_name[name] for name in node.output if name in by_name):
            filled[each.tensor] = _filled(g, each, seen[each.tensor], (start, end), part.side)
    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    del graph.node[:], graph.value_info[:]
    graph.node.extend(g.nodes)
    graph.initializer.extend(g.constants)
    return onnx.shape_inference.infer_shapes(without_unused(result))


def _picture(g: Nodes, letterbox: int, step: int, side: int, opset: Opset) -> tuple[str, str]:
    """From where to where the picture reaches, in rows and columns: two tensors [2], multiples of `step`."""

    def reduced(operator: str, tensor: str, *axes: int) -> str:
        if opset.version < 18:
            return g(operator, tensor, axes=axes, keepdims=0)
        return g(operator, tensor, g.shape(*axes), keepdims=0)

    # First along what lies together in memory: 0.3 ms a window instead of 9.
    strips, cells = g("Reshape", INPUT, g.shape(-1, step * 3)), g.shape(-1, side // step, step, side // step)
    most, least = (g("Reshape", reduced(operator, strips, 1), cells) for operator in ("ReduceMax", "ReduceMin"))
    value, edges = g.constant(letterbox, np.uint8), []
    for across in ((0, 2, 3), (0, 1, 2)):
        lines = reduced("ReduceMax", most, *across), reduced("ReduceMin", least, *across)
        bar = g("And", *(g("Equal", line, value) for line in lines))
        shown = g("Cast", g("Not", bar), to=TensorProto.INT32)
        edges.append([g("ArgMax", shown, axis=0, select_last_index=last) for last in (0, 1)])
    start, last = (g("Mul", g("Concat", *ends, axis=0), g.shape(step)) for ends in zip(*edges, strict=True))
    return start, g("Add", last, g.shape(step))


def _filled(g: Nodes, each: _Map, seen: npt.NDArray[np.generic], picture: tuple[str, str], side: int) -> str:
    """The whole map, from what it is where the `picture` is, and the middle of what was `seen` where all was bars."""
    start, end = picture
    strides = g.shape(*each.strides)
    before = g("Div", start, strides)
    behind = g("Div", g("Sub", g.shape(side), end), strides)
    places = g("Concat", g.shape(0), before, behind, axis=0)
    order = [0] * len(each.sizes)
    order[each.axes[0]], order[each.axes[1]] = 1, 2
    pads = g("Gather", places, g.shape(*order, *(at and at + 2 for at in order)))
    lengths = g("Gather", g("Concat", g.shape(1), g("Div", g("Sub", end, start), strides), axis=0), g.shape(*order))
    shown = g(
        "Pad", g("ConstantOfShape", lengths, value=helper.make_tensor("value", TensorProto.FLOAT, (1,), (1,))), pads
    )
    middle = np.take(
        np.take(seen, [each.sizes[each.axes[0]] // 2], each.axes[0]), [each.sizes[each.axes[1]] // 2], each.axes[1]
    )
    return g("Where", g("Cast", shown, to=TensorProto.BOOL), g("Pad", each.tensor, pads), g.constant(middle))
