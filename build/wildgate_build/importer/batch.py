"""Making a network work on any number of pictures, soundly: what was changed is proven by running it.

Exporters that see one picture write its batch size into the target shapes of Reshape nodes. The sizes of all
tensors for two batch sizes show which ones: their input grows with the batch, their output does not, or along
another axis. Such a target is written again with the batch axis open. Afterwards a batch of two must give what two
batches of one give; where it does not, the network is refused.
"""

from __future__ import annotations

from math import prod

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from wildgate_build.importer.errors import BatchError, RunError
from wildgate_build.importer.network import Network
from wildgate_build.importer.runs import Array, run
from wildgate_build.importer.sizes import Sizes
from wildgate_build.standard_graph import Opset

__all__ = ["with_open_batch"]

_REWRITTEN = "_open_batch"
_TOLERANCES = {False: 1e-3, True: 2e-2}  # absolute and relative; another batch size sums in another order


def with_open_batch(network: Network) -> tuple[Network, int]:
    """The same network with an open batch axis, and how many Reshape nodes had to be written again for that.

    Raises BatchError naming the nodes that hold the batch size, or the output that came out differently.
    """
    model = ModelProto()
    model.CopyFrom(network.model)
    changed = _free_reshapes(model, network)
    _set_batch(model, network.picture, "n")
    opened = Network(model, network.picture, network.side, network.half, None)
    _verify(network, opened)
    return opened, changed


def _free_reshapes(model: ModelProto, network: Network) -> int:
    """Rewrites the targets of Reshape nodes that hold the batch size; returns how many."""
    batch, opset = network.batch or 1, Opset.of(model).version
    dims = [(batch * times, 3, network.side, network.side) for times in (1, 2)]
    once, twice = (Sizes(model.graph, opset, network.picture, size) for size in dims)
    changed = 0
    for node in model.graph.node:
        once.step(node)
        twice.step(node)
        target = _freed(node, once, twice, batch) if node.op_type == "Reshape" else None
        if target is None:
            continue
        changed += 1
        node.input[1] = f"{node.output[0]}{_REWRITTEN}"
        shape = np.array(target, np.int64)
        model.graph.initializer.append(numpy_helper.from_array(shape, node.input[1]))
        for sizes in (once, twice):
            sizes.know(node.input[1], shape)
            sizes.step(node)
    return changed


def _freed(node: NodeProto, once: Sizes, twice: Sizes, batch: int) -> list[int] | None:
    """The target of a Reshape with its batch axis open; None where the target is right, or cannot be told."""
    before, after = once.of(node.input[0]), once.of(node.output[0])
    before2, after2 = twice.of(node.input[0]), twice.of(node.output[0])
    if before is None or after is None or before2 is None or before == before2:
        return None
    grown = [axis for axis, (one, two) in enumerate(zip(before, before2, strict=True)) if one != two]
    if len(grown) != 1 or before2[grown[0]] != 2 * before[grown[0]]:
        return None
    axis = _batch_axis(before, grown[0], after, batch)
    if axis is None:
        return None
    wanted = tuple(size * 2 if i == axis else size for i, size in enumerate(after))
    if after2 == wanted:
        return None
    return [-1 if i == axis else size for i, size in enumerate(after)]


def _batch_axis(before: tuple[int, ...], grown: int, after: tuple[int, ...], batch: int) -> int | None:
    """Which axis of `after` grows when `before` grows along its axis `grown`; None where none can.

    Memory keeps its order. An axis of the batch's own size within what the grown axis became is the batch; an
    axis that merges with the ones before it ([L, B, E] to [L*B, E], in attention) ends where a picture's
    elements begin; else the batch lies as far from the start as before.
    """
    ahead = prod(before[:grown])
    if grown > 0 and len(after) < len(before):
        picture = prod(before[grown:]) // batch
        for axis in range(len(after)):
            if prod(after[axis + 1 :]) == picture:
                return axis
    for axis, size in enumerate(after):
        if size == batch and ahead <= prod(after[:axis]) and prod(after[: axis + 1]) <= ahead * before[grown]:
            return axis
    return next((axis for axis in range(len(after)) if prod(after[:axis]) == ahead), None)


def _set_batch(model: ModelProto, picture: str, batch: int | str) -> None:
    for tensor in model.graph.input:
        if tensor.name == picture:
            dim = tensor.type.tensor_type.shape.dim[0]
            dim.Clear()
            if isinstance(batch, str):
                dim.dim_param = batch
            else:
                dim.dim_value = batch


def _verify(network: Network, opened: Network) -> None:
    batch = network.batch or 1
    pictures = opened.noise(2 * batch)
    halves = [{opened.picture: pictures[opened.picture][i * batch : (i + 1) * batch]} for i in range(2)]
    apart = run(network.model, *halves)
    try:
        (together,) = run(opened.model, pictures)
    except RunError as error:
        raise BatchError(_refusal(opened.model, batch, f"with {2 * batch} it fails: {error}")) from error
    ranks = any(node.op_type == "TopK" for node in opened.model.graph.node)
    for name, got in together.items():
        wanted = np.concatenate([part[name] for part in apart])
        if got.shape != wanted.shape:
            detail = f"with {2 * batch}, {name} is {list(got.shape)}, not {list(wanted.shape)}"
            raise BatchError(_refusal(opened.model, batch, detail))
        near = _TOLERANCES[network.half]
        ranked = ranks and got.ndim > 1  # near ties may change places
        if not _alike(got, wanted, near) and not (ranked and _alike(np.sort(got, 1), np.sort(wanted, 1), near)):
            detail = f"with {2 * batch}, the values of {name} are others"
            raise BatchError(_refusal(opened.model, batch, detail))


def _alike(got: Array, wanted: Array, near: float) -> bool:
    return bool(np.allclose(got.astype(np.float64), wanted.astype(np.float64), near, near))


def _refusal(model: ModelProto, batch: int, detail: str) -> str:
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    held = [
        f"{node.name or node.output[0]} to {numpy_helper.to_array(constants[node.input[1]]).tolist()}"
        for node in model.graph.node
        if node.op_type == "Reshape"
        and node.input[1] in constants
        and not node.input[1].endswith(_REWRITTEN)
        and -1 not in numpy_helper.to_array(constants[node.input[1]])
    ]
    where = f"; Reshape nodes with a fixed target: {', '.join(held[:8])}" if held else ""
    return (
        f"the network works on {batch} picture(s) at a time only; {detail}{where}; export it with a dynamic batch axis"
    )
