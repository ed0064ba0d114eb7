"""The standard detector graph: what wildgate wraps around a network so that every runtime takes it.

    FRAMES uint8 [b, F, S, S, 3] -> Cast, Reshape, Transpose -> network -> selection -> DETECTIONS [b, F, K, 6]

Cast, Reshape, Transpose come first and in this order: TensorRT takes a uint8 input only if a Cast is the very
first node on it. Shapes are static but for b and F: on CPUs a window takes only the frames that it has, and an engine's
F is set when it is built. There is no NonMaxSuppression node and no plugin: suppression is plain tensor arithmetic that
ONNX Runtime, OpenVINO and TensorRT all have.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import onnx
from onnx import ModelProto, compose, parser

from wildgate_build.standard_file import FRAMES_PROPERTY

OPSET: Final = 17
IR_VERSION: Final = 8

_MOST_CANDIDATES: Final = 3840  # the largest K that TensorRT's TopK layer takes


@dataclass(frozen=True)
class Opset:
    """The versions of ONNX's operators (13 at least) and of its file format that a graph is written in."""

    version: int = OPSET
    ir_version: int = IR_VERSION

    @classmethod
    def of(cls, model: ModelProto) -> "Opset":
        """Those that `model` is written in."""
        version = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        return cls(version, model.ir_version)

    def parse(self, graph: str) -> ModelProto:
        """The model that `graph`, in ONNX's text format, describes."""
        return parser.parse_model(f'<ir_version: {self.ir_version}, opset_import: ["" : {self.version}]> {graph}')

    def reduce_max(self, tensor: str, axis: int, axes: str) -> str:
        """ReduceMax in ONNX's text format; since opset 18 its axes are an input, here the initializer `axes`."""
        if self.version < 18:
            return f"ReduceMax <axes = [{axis}], keepdims = 0> ({tensor})"
        return f"ReduceMax <keepdims = 0> ({tensor}, {axes})"


@dataclass(frozen=True)
class GraphShape:
    """The sizes of a standard graph and the constants of its suppression.

    `frames` per clip window (F) of engines, `side` of a frame in pixels (S), `detections` per frame (K); `places` and
    `labels` are the network's. Of the `candidates` best places, one is dropped where a better one of its
    label overlaps it by more than `overlap` (IoU). Scores of at most `least_score` count as nothing.

    `rounds`: greedy suppression settles a chain of boxes, each dropping the next, in as many rounds as the
    chain is long. Longer chains than this are left partly undecided: a box more, never a box less, as long
    as the number is even.
    """

    places: int
    labels: int
    frames: int = 8
    side: int = 320
    detections: int = 16
    candidates: int = 64
    overlap: float = 0.55
    least_score: float = 0.05
    rounds: int = 12


Selection = Callable[[GraphShape, Opset], ModelProto]


def input_graph(shape: GraphShape, opset: Opset | None = None) -> ModelProto:
    """FRAMES uint8 [b, F, S, S, 3] to `pictures` float [b*F, 3, S, S], values 0 to 255, and `windows`: b and F."""
    s = shape.side
    return (opset or Opset()).parse(
        f"""input (uint8[b,f,{s},{s},3] FRAMES) => (float[n,3,{s},{s}] pictures, int64[2] windows)
        <int64[4] folded = {{-1, {s}, {s}, 3}}, int64[1] start = {{0}}, int64[1] end = {{2}}>
        {{
            values = Cast <to = 1> (FRAMES)
            rows = Reshape (values, folded)
            pictures = Transpose <perm = [0, 3, 1, 2]> (rows)
            sizes = Shape (values)
            windows = Slice (sizes, start, end)
        }}"""
    )


def output_graph(shape: GraphShape, opset: Opset | None = None) -> ModelProto:
    """`boxes` float [n, places, 4] (x1, y1, x2, y2 in pixels) and `scores` [n, places, labels] to DETECTIONS.

    `windows` has b and F. Greedy suppression, for networks that report one object at many places. A place stands for
    its best label only. Rows of DETECTIONS come best first; unused ones are all zero.
    """
    opset = opset or Opset()
    c = min(shape.candidates, shape.places, _MOST_CANDIDATES)
    keeping = "\n".join(
        # Not as a MatMul, which fp32 engines for Turing GPUs do not have.
        f"""column{i} = Unsqueeze (keep{i}, last)
            held{i} = Mul (column{i}, suppresses)
            hit{i} = {opset.reduce_max(f"held{i}", 1, "first")}
            safe{i} = Less (hit{i}, half)
            safef{i} = Cast <to = 1> (safe{i})
            keep{i + 1} = Mul (countsf, safef{i})"""
        for i in range(shape.rounds)
    )
    order = ", ".join(map(str, range(c)))
    return opset.parse(
        f"""output ({_selected(shape)}) => ({_detections(shape)})
        <int64[1] c = {{{c}}}, int64[1] first = {{1}}, int64[1] three = {{3}},
         int64[2] pair = {{2, 2}}, int64[2] single = {{1, 1}},
         float half = {{0.5}}, float tiny = {{0.000001}},
         float overlap = {{{shape.overlap:.6f}}}, float[1,{c},1] better = {{{order}}},
         float[1,1,{c}] worse = {{{order}}}, {_row_constants(shape, c)}>
        {{
            best = {opset.reduce_max("scores", 2, "last")}
            label = ArgMax <axis = 2, keepdims = 0> (scores)
            labelf = Cast <to = 1> (label)
            score, place = TopK <axis = 1> (best, c)
            name = GatherElements <axis = 1> (labelf, place)
            place3 = Unsqueeze (place, last)
            place4 = Tile (place3, fourfold)
            box = GatherElements <axis = 1> (boxes, place4)

            low, high = Split <axis = 2> (box, pair)
            low_i = Unsqueeze (low, last)
            low_j = Unsqueeze (low, first)
            high_i = Unsqueeze (high, last)
            high_j = Unsqueeze (high, first)
            inner_low = Max (low_i, low_j)
            inner_high = Min (high_i, high_j)
            inner = Sub (inner_high, inner_low)
            inner0 = Relu (inner)
            inner_w, inner_h = Split <axis = 3> (inner0, single)
            shared4 = Mul (inner_w, inner_h)
            shared = Squeeze (shared4, three)
            extent = Sub (high, low)
            extent0 = Relu (extent)
            width, height = Split <axis = 2> (extent0, single)
            area_i = Mul (width, height)
            area_j = Transpose <perm = [0, 2, 1]> (area_i)
            both = Add (area_i, area_j)
            union = Sub (both, shared)
            union0 = Max (union, tiny)
            iou = Div (shared, union0)
            close = Greater (iou, overlap)
            closef = Cast <to = 1> (close)
            name_i = Unsqueeze (name, last)
            name_j = Unsqueeze (name, first)
            gap = Sub (name_i, name_j)
            distance = Abs (gap)
            same = Less (distance, half)
            samef = Cast <to = 1> (same)
            close_same = Mul (closef, samef)
            upper = Less (better, worse)
            upperf = Cast <to = 1> (upper)
            suppresses = Mul (close_same, upperf)

            counts = Greater (score, least)
            countsf = Cast <to = 1> (counts)
            keep0 = Identity (countsf)
            {keeping}
            kept_score = Mul (score, keep{shape.rounds})
            {_rows(shape, c)}
        }}"""
    )


def ranking_graph(shape: GraphShape, opset: Opset | None = None) -> ModelProto:
    """The same tensors as `output_graph`, for networks that report each object once: the best scores, no suppression.

    A place stands for every label that it scores: the best of all [places x labels] scores are taken.
    """
    every = shape.places * shape.labels
    c = min(shape.detections, every, _MOST_CANDIDATES)
    return (opset or Opset()).parse(
        f"""output ({_selected(shape)}) => ({_detections(shape)})
        <int64[1] c = {{{c}}}, int64[2] every = {{-1, {every}}}, float half = {{0.5}},
         float labels = {{{float(shape.labels)}}}, {_row_constants(shape, c)}>
        {{
            all_scores = Reshape (scores, every)
            score, index = TopK <axis = 1> (all_scores, c)
            indexf = Cast <to = 1> (index)
            middle = Add (indexf, half)
            ratio = Div (middle, labels)
            placef = Floor (ratio)
            before = Mul (placef, labels)
            name = Sub (indexf, before)
            place = Cast <to = 7> (placef)
            place3 = Unsqueeze (place, last)
            place4 = Tile (place3, fourfold)
            box = GatherElements <axis = 1> (boxes, place4)

            counts = Greater (score, least)
            countsf = Cast <to = 1> (counts)
            kept_score = Mul (score, countsf)
            {_rows(shape, c)}
        }}"""
    )


def standard_graph(
    core: ModelProto, shape: GraphShape, metadata: dict[str, str], selection: Selection = output_graph
) -> ModelProto:
    """Wrap `core` (`pictures` -> `boxes`, `scores`) and return the checked graph with `metadata`.

    The result is written in the opset of `core`. `selection` is `output_graph` (suppression) or `ranking_graph`.

    Raises:
        ValueError: `core` has other inputs or outputs.
        onnx.checker.ValidationError: the result is not a valid model.
    """
    names = {i.name for i in core.graph.input}, {o.name for o in core.graph.output}
    if names != ({"pictures"}, {"boxes", "scores"}):
        raise ValueError(f"a core takes 'pictures' and gives 'boxes' and 'scores', this one has {names}")
    opset = Opset.of(core)
    front = compose.add_prefix(input_graph(shape, opset), "in_", rename_inputs=False, rename_outputs=False)
    back = compose.add_prefix(selection(shape, opset), "out_", rename_inputs=False, rename_outputs=False)
    middle = compose.add_prefix(core, "net_")
    model = compose.merge_models(front, middle, [("pictures", "net_pictures")])
    joints = [("net_boxes", "boxes"), ("net_scores", "scores"), ("windows", "windows")]
    model = compose.merge_models(model, back, joints)
    onnx.helper.set_model_props(model, {**metadata, FRAMES_PROPERTY: str(shape.frames)})
    model.producer_name = "wildgate"
    onnx.checker.check_model(model, full_check=True)
    return model


def _selected(shape: GraphShape) -> str:
    return f"float[n,{shape.places},4] boxes, float[n,{shape.places},{shape.labels}] scores, int64[2] windows"


def _detections(shape: GraphShape) -> str:
    return f"float[b,f,{shape.detections},6] DETECTIONS"


def _row_constants(shape: GraphShape, candidates: int) -> str:
    """The initializers that `_rows` needs, and `least` for whoever comes before."""
    k = min(shape.detections, candidates)
    below = f"int64[6] below = {{0, 0, 0, 0, {shape.detections - k}, 0}}," if k < shape.detections else ""
    return f"""int64[1] k = {{{k}}}, int64[1] last = {{2}}, int64[3] fourfold = {{1, 1, 4}},
        {below} int64[2] columns = {{{shape.detections}, 6}},
        float least = {{{shape.least_score:.6f}}}, float side = {{{float(shape.side)}}},
        float zero = {{0.0}}, float one = {{1.0}}"""


def _rows(shape: GraphShape, candidates: int) -> str:
    """From `kept_score` [n, c], `box` [n, c, 4] and `name` [n, c] to DETECTIONS, padded where c is less than K."""
    found, pad = "found", 'found = Pad <mode = "constant"> (rows, below)'
    if shape.detections <= candidates:
        found, pad = "rows", ""
    return f"""
            final_score, rank = TopK <axis = 1> (kept_score, k)
            rank3 = Unsqueeze (rank, last)
            rank4 = Tile (rank3, fourfold)
            final_box = GatherElements <axis = 1> (box, rank4)
            share = Div (final_box, side)
            inside = Clip (share, zero, one)
            final_name = GatherElements <axis = 1> (name, rank)
            score3 = Unsqueeze (final_score, last)
            name3 = Unsqueeze (final_name, last)
            rows6 = Concat <axis = 2> (inside, score3, name3)
            used = Greater (score3, zero)
            usedf = Cast <to = 1> (used)
            rows = Mul (rows6, usedf)
            {pad}
            window = Concat <axis = 0> (windows, columns)
            DETECTIONS = Reshape ({found}, window)"""
