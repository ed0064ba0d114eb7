"""Small networks that lay out their outputs as each family's project exports them; random weights.

Written from the projects' own heads (cited at each function), node by node as their exporters leave them, and
knowing nothing of the importer: a backbone of strided convolutions, the family's head behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

STRIDES = (8, 16, 32)
IMAGES = "images"


class Graph:
    """Nodes in the order they are added; every method returns the name of what the node gives."""

    def __init__(self, seed: int, opset: int = 17) -> None:
        self.opset = opset
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []

    def constant(self, value: object, kind: type = np.float32) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.array(value, kind), name))
        return name

    def node(self, operator: str, *inputs: str, **attributes: object) -> str:
        return self.several(operator, 1, *inputs, **attributes)[0]

    def several(self, operator: str, outputs: int, *inputs: str, **attributes: object) -> list[str]:
        names = [f"{operator.lower()}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, name=f"/{names[0]}", **attributes))
        return names

    def random(self, *dims: int, scale: float = 1.0) -> str:
        return self.constant(self.rng.normal(0, scale, dims))

    def conv(
        self, x: str, out: int, into: int, size: int = 1, stride: int = 1, bias: float = 0.0, gain: float = 2.0
    ) -> str:
        weights = self.random(out, into, size, size, scale=gain / (into * size * size) ** 0.5)
        shift = self.constant(self.rng.normal(bias, 0.3, out))
        padding = [size // 2] * 4
        return self.node("Conv", x, weights, shift, strides=[stride, stride], pads=padding)

    def linear(self, x: str, into: int, out: int, scale: float = 1.0, bias: float = 0.0) -> str:
        product = self.node("MatMul", x, self.random(into, out, scale=scale / into**0.5))
        return self.node("Add", product, self.constant(self.rng.normal(bias, 0.3, out)))

    def silu(self, x: str) -> str:
        return self.node("Mul", x, self.node("Sigmoid", x))

    def reshape(self, x: str, *dims: int) -> str:
        return self.node("Reshape", x, self.constant(dims, np.int64))

    def split(self, x: str, parts: Sequence[int], axis: int) -> list[str]:
        if self.opset < 13:
            return self.several("Split", len(parts), x, axis=axis, split=list(parts))
        return self.several("Split", len(parts), x, self.constant(parts, np.int64), axis=axis)

    def unsqueeze(self, x: str, axis: int) -> str:
        return self.node("Unsqueeze", x, self.constant([axis], np.int64))

    def gather_rows(self, x: str, index: str, columns: int) -> str:
        rows = self.node("Tile", self.unsqueeze(index, 2), self.constant((1, 1, columns), np.int64))
        return self.node("GatherElements", x, rows, axis=1)

    def backbone(self, full: float = 1.0) -> list[str]:
        """Feature maps of 16 channels at strides 8, 16, 32, of pictures with values from 0 to `full`.

        They end in a Tanh: larger values would drive scores into the sigmoid's ends, where they tie.
        """
        x = self.node("Div", IMAGES, self.constant(full)) if full != 1.0 else IMAGES
        into, maps = 3, []
        for i in range(5):
            x, into = self.silu(self.conv(x, 16, into, 3, 2)), 16
            maps += [self.node("Tanh", x)] if i >= 2 else []
        return maps

    def model(
        self,
        outputs: dict[str, str],
        side: int | str,
        batch: int | str = 1,
        inputs: Sequence[onnx.ValueInfoProto] = (),
        kinds: dict[str, int] | None = None,
        ranks: dict[str, int] | None = None,
    ) -> ModelProto:
        for name, made in outputs.items():
            self.nodes.append(helper.make_node("Identity", [made], [name]))
        infos = [
            helper.make_tensor_value_info(
                name, (kinds or {}).get(name, TensorProto.FLOAT), [None] * (ranks or {}).get(name, 3)
            )
            for name in outputs
        ]
        height, width = (f"{side}_h", f"{side}_w") if isinstance(side, str) else (side, side)
        picture = helper.make_tensor_value_info(IMAGES, TensorProto.FLOAT, [batch, 3, height, width])
        graph = helper.make_graph(self.nodes, "network", [picture, *inputs], infos, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        onnx.checker.check_model(model)
        return model


def _folded(batch: int | str) -> int:
    """The batch as exporters write it into a Reshape: its number, or 0 (as it comes) where it is dynamic."""
    return batch if isinstance(batch, int) else 0


def _grid(cells: int, offset: float) -> np.ndarray:
    y, x = np.divmod(np.arange(cells * cells), cells)
    return np.stack((x, y), axis=1) + offset


def yolov5(
    classes: int = 4, side: int = 64, batch: int | str = 1, seed: int = 0, *, maps: bool = False, sigmoid: bool = True
) -> ModelProto:
    """[B, N, 5+C] as `Detect.forward` of ultralytics/yolov5 `models/yolo.py`; `maps` exports the raw ones as well."""
    g, n, columns = Graph(seed), _folded(batch), classes + 5
    decoded, raw = [], {}
    for i, (stride, x) in enumerate(zip(STRIDES, g.backbone(), strict=True)):
        cells = side // stride
        anchors = np.array(((1.2, 1.6), (2, 3.7), (4, 2.8)))[:, None, None] * stride
        x = g.reshape(g.conv(x, 3 * columns, 16, bias=-1.0), n, 3, columns, cells, cells)
        x = g.node("Transpose", x, perm=[0, 1, 3, 4, 2])
        raw[f"map{i}"] = x
        xy, wh, scores = g.split(g.node("Sigmoid", x), (2, 2, classes + 1), 4)
        grid = g.constant(_grid(cells, -0.5).reshape(1, 1, cells, cells, 2))
        xy = g.node("Add", g.node("Mul", xy, g.constant(2.0)), grid)
        xy = g.node("Mul", xy, g.constant(stride))
        wh = g.node("Pow", g.node("Mul", wh, g.constant(2.0)), g.constant(2.0))
        wh = g.node("Mul", wh, g.constant(np.broadcast_to(anchors[None], (1, 3, 1, 1, 2))))
        if not sigmoid:
            scores = g.split(x, (4, classes + 1), 4)[1]
        decoded.append(g.reshape(g.node("Concat", xy, wh, scores, axis=4), n, -1, columns))
    outputs = {"output0": g.node("Concat", *decoded, axis=1)} | (raw if maps else {})
    return g.model(outputs, side, batch, ranks=dict.fromkeys(raw, 5))


def _anchor_free(g: Graph, classes: int, side: int, n: int) -> tuple[str, str, str]:
    """Low corners, high corners [B, 2, N] in pixels and scores [B, C, N], as `Detect` of ultralytics `head.py`."""
    levels, points, strides = [], [], []
    for stride, x in zip(STRIDES, g.backbone(), strict=True):
        cells = side // stride
        boxes, scores = g.conv(x, 64, 16), g.conv(x, classes, 16, bias=-1.5, gain=3.0)
        levels.append(g.reshape(g.node("Concat", boxes, scores, axis=1), n, 64 + classes, -1))
        points.append(_grid(cells, 0.5).T)
        strides.append(np.full((1, cells * cells), stride))
    boxes, scores = g.split(g.node("Concat", *levels, axis=2), (64, classes), 1)
    places = sum((side // stride) ** 2 for stride in STRIDES)
    bins = g.node("Transpose", g.reshape(boxes, n, 4, 16, places), perm=[0, 2, 1, 3])
    weights = g.constant(np.arange(16).reshape(1, 16, 1, 1) / 4)
    distances = g.reshape(g.node("Conv", g.node("Softmax", bins, axis=1), weights), n, 4, places)
    before, behind = g.split(distances, (2, 2), 1)
    point, stride = g.constant(np.concatenate(points, 1)[None]), g.constant(np.concatenate(strides, 1)[None])
    low = g.node("Mul", g.node("Sub", point, before), stride)
    high = g.node("Mul", g.node("Add", point, behind), stride)
    return low, high, g.node("Sigmoid", scores)


def yolov8(
    classes: int = 4, side: int = 64, batch: int | str = 1, seed: int = 0, opset: int = 17, open_side: bool = False
) -> ModelProto:
    """[B, 4+C, N] as `Detect._inference` of ultralytics `nn/modules/head.py`; fixed inside even where `open_side`."""
    g = Graph(seed, opset)
    low, high, scores = _anchor_free(g, classes, side, _folded(batch))
    middle = g.node("Div", g.node("Add", low, high), g.constant(2.0))
    output = g.node("Concat", middle, g.node("Sub", high, low), scores, axis=1)
    return g.model({"output0": output}, "image" if open_side else side, batch)


def yolo_end2end(
    classes: int = 4, side: int = 64, batch: int | str = "batch", seed: int = 0, most: int = 40
) -> ModelProto:
    """[B, N, 6] as `Detect.postprocess` of ultralytics `nn/modules/head.py`: best places, then classes."""
    g = Graph(seed)
    low, high, scores = _anchor_free(g, classes, side, _folded(batch))
    boxes = g.node("Transpose", g.node("Concat", low, high, axis=1), perm=[0, 2, 1])
    scores = g.node("Transpose", scores, perm=[0, 2, 1])
    best = g.node("ReduceMax", scores, axes=[2], keepdims=0)
    k = g.constant([most], np.int64)
    place = g.several("TopK", 2, best, k, axis=1)[1]
    boxes, scores = g.gather_rows(boxes, place, 4), g.gather_rows(scores, place, classes)
    score, index = g.several("TopK", 2, g.reshape(scores, _folded(batch), most * classes), k, axis=1)
    count = g.constant(classes, np.int64)
    boxes = g.gather_rows(boxes, g.node("Div", index, count), 4)
    name = g.node("Cast", g.node("Mod", index, count), to=TensorProto.FLOAT)
    return g.model(
        {"output0": g.node("Concat", boxes, g.unsqueeze(score, 2), g.unsqueeze(name, 2), axis=2)}, side, batch
    )


def yolox(
    classes: int = 4, side: int = 64, batch: int | str = 1, seed: int = 0, *, decoded: bool = False
) -> ModelProto:
    """[B, N, 5+C] as `YOLOXHead.forward` of Megvii YOLOX; `decoded` as its `decode_outputs`."""
    g, n, levels = Graph(seed), _folded(batch), []
    for x in g.backbone(255.0):
        box = g.conv(x, 4, 16, bias=0.4, gain=1.0)
        objectness, scores = (g.node("Sigmoid", g.conv(x, c, 16, bias=-0.5, gain=3.0)) for c in (1, classes))
        levels.append(g.reshape(g.node("Concat", box, objectness, scores, axis=1), n, 5 + classes, -1))
    rows = g.node("Transpose", g.node("Concat", *levels, axis=2), perm=[0, 2, 1])
    if decoded:
        grid = g.constant(np.concatenate([_grid(side // s, 0) for s in STRIDES])[None])
        stride = g.constant(np.concatenate([np.full(((side // s) ** 2, 1), s) for s in STRIDES])[None])
        xy, wh, scores = g.split(rows, (2, 2, 1 + classes), 2)
        xy = g.node("Mul", g.node("Add", xy, grid), stride)
        wh = g.node("Mul", g.node("Exp", wh), stride)
        rows = g.node("Concat", xy, wh, scores, axis=2)
    return g.model({"output": rows}, side, batch)


def yolov6(classes: int = 4, side: int = 64, seed: int = 0) -> ModelProto:
    """[B, N, 5+C] as `Detect` of meituan/YOLOv6 `effidehead.py`: distances added, an objectness of one."""
    g = Graph(seed)
    low, high, scores = _anchor_free(g, classes, side, 0)
    middle = g.node("Div", g.node("Add", low, high), g.constant(2.0))
    one = g.node("Add", g.node("Mul", g.split(middle, (1, 1), 1)[0], g.constant(0.0)), g.constant(1.0))
    columns = g.node("Concat", middle, g.node("Sub", high, low), one, scores, axis=1)
    return g.model({"outputs": g.node("Transpose", columns, perm=[0, 2, 1])}, side, "batch")


def _decoder(g: Graph, queries: str, memory: str, columns: int) -> tuple[str, str]:
    """Logits [B, Q, columns] and boxes [B, Q, 4]: cross-attention to the memory [B, L, 16], then linear layers."""
    keys = g.node("Transpose", g.linear(memory, 16, 16), perm=[0, 2, 1])
    attention = g.node("Softmax", g.node("MatMul", g.linear(queries, 16, 16, 2.0), keys), axis=2)
    found = g.node("Add", g.node("MatMul", attention, memory), queries)
    boxes = g.linear(g.node("Relu", g.linear(found, 16, 16)), 16, 4, bias=-0.4)
    return g.linear(found, 16, columns, 2.0, bias=-2.0), g.node("Sigmoid", boxes)


def _memory(g: Graph, n: int) -> str:
    """The tokens [B, L, 16] of the map at stride 8."""
    x = g.backbone()[0]
    return g.node("Transpose", g.reshape(x, n, 16, -1), perm=[0, 2, 1])


def _selected(g: Graph, n: int, queries: int, columns: int) -> tuple[str, str]:
    """RT-DETR's query selection (`RTDETRTransformer._get_decoder_input`), then the decoder."""
    memory = _memory(g, n)
    best = g.node("ReduceMax", g.linear(memory, 16, columns), axes=[2], keepdims=0)
    place = g.several("TopK", 2, best, g.constant([queries], np.int64), axis=1)[1]
    return _decoder(g, g.gather_rows(memory, place, 16), memory, columns)


def rtdetr(
    classes: int = 5, side: int = 64, batch: int | str = "batch", queries: int = 25, seed: int = 0
) -> ModelProto:
    """`logits` [B, Q, C] and `pred_boxes` [B, Q, 4] as Hugging Face exports RT-DETR and D-FINE; scores by sigmoid."""
    g = Graph(seed)
    logits, boxes = _selected(g, _folded(batch), queries, classes)
    return g.model({"logits": logits, "pred_boxes": boxes}, side, batch)


def detr(classes: int = 5, side: int = 64, batch: int | str = "batch", queries: int = 25, seed: int = 0) -> ModelProto:
    """`pred_logits` [B, Q, C+1], `pred_boxes` of facebookresearch/detr: learnt queries, no object last."""
    g = Graph(seed)
    memory = _memory(g, _folded(batch))
    logits, boxes = _decoder(g, g.random(1, queries, 16, scale=2.0), memory, classes + 1)
    return g.model({"pred_logits": logits, "pred_boxes": boxes}, side, batch)


def sequence_first_detr(classes: int = 5, side: int = 64, seed: int = 0) -> ModelProto:
    """`detr` with self-attention over its memory as PyTorch's MultiheadAttention exports it for one picture.

    `F.multi_head_attention_forward` works on [L, B, E]; the views it takes, [L*B, E] and [L, B*heads, E/heads],
    come out as Reshape nodes that hold the batch of one.
    """
    g, heads = Graph(seed), 2
    memory, length = _memory(g, 1), (side // 8) ** 2
    x = g.node("Transpose", memory, perm=[1, 0, 2])
    query, key, value = (
        g.node("Transpose", g.reshape(g.linear(x, 16, 16), length, heads, 8), perm=[1, 0, 2]) for _ in range(3)
    )
    weights = g.node("Softmax", g.node("MatMul", query, g.node("Transpose", key, perm=[0, 2, 1])), axis=2)
    found = g.node("Transpose", g.node("MatMul", weights, value), perm=[1, 0, 2])
    found = g.linear(g.reshape(found, length, 16), 16, 16)
    found = g.node("Transpose", g.reshape(found, length, 1, 16), perm=[1, 0, 2])
    memory = g.node("Add", memory, found)
    logits, boxes = _decoder(g, g.random(1, 25, 16, scale=2.0), memory, classes + 1)
    return g.model({"pred_logits": logits, "pred_boxes": boxes}, side, 1)


def rtdetr_deploy(classes: int = 5, side: int = 64, queries: int = 25, most: int = 15, seed: int = 0) -> ModelProto:
    """labels, boxes, scores as `tools/export_onnx.py` of RT-DETR and D-FINE, with its `RTDETRPostProcessor`."""
    g = Graph(seed)
    logits, boxes = _selected(g, 0, queries, classes)
    middle, size = g.split(boxes, (2, 2), 2)
    half = g.node("Mul", size, g.constant(0.5))
    corners = g.node("Concat", g.node("Sub", middle, half), g.node("Add", middle, half), axis=2)
    sizes = g.node("Cast", g.node("Tile", "orig_target_sizes", g.constant((1, 2), np.int64)), to=TensorProto.FLOAT)
    corners = g.node("Mul", corners, g.unsqueeze(sizes, 1))
    flat = g.reshape(g.node("Sigmoid", logits), 0, queries * classes)
    score, index = g.several("TopK", 2, flat, g.constant([most], np.int64), axis=1)
    count = g.constant(classes, np.int64)
    outputs = {
        "labels": g.node("Mod", index, count),
        "boxes": g.gather_rows(corners, g.node("Div", index, count), 4),
        "scores": score,
    }
    sizes_input = helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, ["N", 2])
    kinds = {"labels": TensorProto.INT64}
    return g.model(outputs, side, "N", inputs=[sizes_input], kinds=kinds, ranks={"labels": 2, "scores": 2})


def joined_rtdetr(
    classes: int = 5, side: int = 64, batch: int | str = 1, queries: int = 25, seed: int = 0
) -> ModelProto:
    """One output [B, Q, 4+C] as `RTDETRDecoder` of ultralytics `nn/modules/head.py`."""
    g = Graph(seed)
    logits, boxes = _selected(g, _folded(batch), queries, classes)
    return g.model({"output0": g.node("Concat", boxes, g.node("Sigmoid", logits), axis=2)}, side, batch)
