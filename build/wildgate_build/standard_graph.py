"""The standard detector graph: what wildgate wraps around a network so that every runtime takes it.

    FRAMES uint8 [b, F, S, S, 3] -> Cast, Reshape, Transpose -> network -> suppression -> DETECTIONS [b, F, K, 6]

Cast, Reshape, Transpose come first and in this order: TensorRT takes a uint8 input only if a Cast is the very
first node on it. Shapes are static but for b. There is no NonMaxSuppression node and no plugin: suppression is
plain tensor arithmetic that ONNX Runtime, OpenVINO and TensorRT all have.
"""

from dataclasses import dataclass
from typing import Final

import onnx
from onnx import ModelProto, compose, parser

OPSET: Final = 17
IR_VERSION: Final = 8


@dataclass(frozen=True)
class GraphShape:
    """The sizes of a standard graph and the constants of its suppression.

    `frames` per clip window (F), `side` of a frame in pixels (S), `detections` per frame (K); `places` and
    `labels` are the network's. Of the `candidates` best places, one is dropped where a better one of its
    label overlaps it by more than `overlap` (IoU). Scores of at most `least_score` count as nothing.

    `rounds`: greedy suppression settles a chain of boxes, each dropping the next, in as many rounds as the
    chain is long. Longer chains than this are left partly undecided: a box more, never a box less.
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


def input_graph(shape: GraphShape) -> ModelProto:
    """FRAMES uint8 [b, F, S, S, 3] to `pictures` float [b*F, 3, S, S], values 0 to 255."""
    f, s = shape.frames, shape.side
    return _parse(
        f"""input (uint8[b,{f},{s},{s},3] FRAMES) => (float[n,3,{s},{s}] pictures)
        <int64[4] folded = {{-1, {s}, {s}, 3}}>
        {{
            values = Cast <to = 1> (FRAMES)
            rows = Reshape (values, folded)
            pictures = Transpose <perm = [0, 3, 1, 2]> (rows)
        }}"""
    )


def output_graph(shape: GraphShape) -> ModelProto:
    """`boxes` float [n, places, 4] (x1, y1, x2, y2 in pixels) and `scores` [n, places, labels] to DETECTIONS.

    A place stands for its best label only. Rows of DETECTIONS come best first; unused ones are all zero.
    """
    keeping = "\n".join(
        f"""hit{i} = MatMul (keep{i}, suppresses)
            safe{i} = Less (hit{i}, half)
            safef{i} = Cast <to = 1> (safe{i})
            keep{i + 1} = Mul (valid, safef{i})"""
        for i in range(shape.rounds)
    )
    c, k, s = shape.candidates, shape.detections, shape.side
    upper = ", ".join("1" if i < j else "0" for i in range(c) for j in range(c))
    return _parse(
        f"""output (float[n,{shape.places},4] boxes, float[n,{shape.places},{shape.labels}] scores)
            => (float[b,{shape.frames},{k},6] DETECTIONS)
        <int64[1] c = {{{c}}}, int64[1] k = {{{k}}}, int64[1] first = {{1}}, int64[1] last = {{2}},
         int64[3] fourfold = {{1, 1, 4}}, int64[2] pair = {{2, 2}}, int64[2] single = {{1, 1}},
         int64[3] row = {{-1, 1, {c}}}, int64[2] flat = {{-1, {c}}}, int64[4] window = {{-1, {shape.frames}, {k}, 6}},
         float half = {{0.5}}, float tiny = {{0.000001}}, float overlap = {{{shape.overlap:.6f}}},
         float least = {{{shape.least_score:.6f}}}, float side = {{{float(s)}}},
         float zero = {{0.0}}, float one = {{1.0}},
         float[{c},{c}] upper = {{{upper}}}>
        {{
            best = ReduceMax <axes = [2], keepdims = 0> (scores)
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
            three = Constant <value = int64[1] {{3}}> ()
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
            suppresses = Mul (close_same, upper)

            counts = Greater (score, least)
            countsf = Cast <to = 1> (counts)
            valid = Reshape (countsf, row)
            keep0 = Identity (valid)
            {keeping}
            kept = Reshape (keep{shape.rounds}, flat)

            kept_score = Mul (score, kept)
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
            DETECTIONS = Reshape (rows, window)
        }}"""
    )


def standard_graph(core: ModelProto, shape: GraphShape, metadata: dict[str, str]) -> ModelProto:
    """Wrap `core` (`pictures` -> `boxes`, `scores`) and return the checked graph with `metadata`.

    Raises:
        ValueError: `core` has other inputs or outputs.
        onnx.checker.ValidationError: the result is not a valid model.
    """
    names = {i.name for i in core.graph.input}, {o.name for o in core.graph.output}
    if names != ({"pictures"}, {"boxes", "scores"}):
        raise ValueError(f"a core takes 'pictures' and gives 'boxes' and 'scores', this one has {names}")
    front = compose.add_prefix(input_graph(shape), "in_", rename_inputs=False, rename_outputs=False)
    back = compose.add_prefix(output_graph(shape), "out_", rename_inputs=False, rename_outputs=False)
    middle = compose.add_prefix(core, "net_")
    model = compose.merge_models(front, middle, [("pictures", "net_pictures")])
    model = compose.merge_models(model, back, [("net_boxes", "boxes"), ("net_scores", "scores")])
    onnx.helper.set_model_props(model, metadata)
    model.producer_name = "wildgate"
    onnx.checker.check_model(model, full_check=True)
    return model


def _parse(graph: str) -> ModelProto:
    return parser.parse_model(f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}]> {graph}')
