"""Opens the batch axis of a network, and proves by running it that it takes any number of pictures.

Exporters that see one picture write its batch size into the targets of Reshape nodes. Where it is the first
dimension of both input and output, it is replaced by 0, which in ONNX means "as in the input". Afterwards (and for
networks that declare a dynamic batch, too) a batch of two must give what two batches of one give. A network that holds
its batch size elsewhere, as attention over [L, B, E] does, is refused with the option that exports it properly.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, helper, numpy_helper, shape_inference

from wildgate_build.errors import CannotRunError, ImportRefusedError
from wildgate_build.importer.network import Network
from wildgate_build.onnx_session import Array, run

__all__ = ["with_open_batch"]

_TOLERANCES = {False: 1e-3, True: 2e-2}  # absolute and relative; another batch size sums in another order
_EXPORT = (
    "export it with a dynamic batch axis (Ultralytics: yolo export model=MODEL.pt format=onnx dynamic=True; YOLOv5 and "
    "YOLOX: --dynamic; YOLOv7: --grid --dynamic-batch; torch.onnx.export: dynamic_axes={{'{picture}': {{0: 'batch'}}}})"
)


def with_open_batch(network: Network) -> tuple[Network, int]:
    """The same network with an open batch axis, and how many Reshape nodes were changed for that.

    Raises ImportRefusedError, saying how to export it, for a network that works on its own batch size only.
    """
    model = ModelProto()
    model.CopyFrom(network.model)
    changed = _open_reshapes(model, network)
    _set_batch(model, network.picture, "n")
    opened = Network(model, network.picture, network.side, network.half, None)
    if fault := _fault(network, opened):
        batch = network.batch or 1
        how = _EXPORT.format(picture=network.picture)
        raise ImportRefusedError(
            f"the network works on {batch} picture(s) at a time only; {how}; with {2 * batch}, {fault}"
        )
    return opened, changed


def _open_reshapes(model: ModelProto, network: Network) -> int:
    """Writes a 0 for the batch size in the targets of Reshape nodes; returns how many."""
    batch = network.batch or 1
    fixed = ModelProto()
    fixed.CopyFrom(model)
    _set_batch(fixed, network.picture, batch)
    graph = shape_inference.infer_shapes(fixed, data_prop=True).graph
    held = {tensor.name: tensor for tensor in graph.initializer}
    held |= {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    known = {value.name: value.type.tensor_type.shape.dim for value in (*graph.input, *graph.value_info)}
    changed = 0
    for node in model.graph.node:
        if node.op_type != "Reshape" or node.input[1] not in held or any(a.i for a in node.attribute):
            continue
        target, before = numpy_helper.to_array(held[node.input[1]]), known.get(node.input[0])
        comes_first = not before or before[0].dim_value in (batch, 0)  # 0: not known, so let the run tell
        if target.size and target[0] == batch and comes_first:
            node.input[1] = f"{node.output[0]}_open_batch"
            model.graph.initializer.append(numpy_helper.from_array(np.array([0, *target[1:]]), node.input[1]))
            changed += 1
    return changed


def _set_batch(model: ModelProto, picture: str, batch: int | str) -> None:
    for tensor in model.graph.input:
        if tensor.name == picture:
            dims = [batch, *(dim.dim_value for dim in tensor.type.tensor_type.shape.dim[1:])]
            tensor.CopyFrom(helper.make_tensor_value_info(picture, tensor.type.tensor_type.elem_type, dims))


def _fault(network: Network, opened: Network) -> str | None:
    """How one batch of twice the network's size differs from two of its size; None if it does not."""
    batch = network.batch or 1
    pictures = opened.noise(2 * batch)
    halves = [{name: values[i * batch : (i + 1) * batch] for name, values in pictures.items()} for i in range(2)]
    apart = run(network.model, *halves)
    try:
        (together,) = run(opened.model, pictures)
    except CannotRunError as error:
        return f"it fails: {error}"
    near = _TOLERANCES[network.half]
    ranks = any(node.op_type == "TopK" for node in opened.model.graph.node)
    for name, got in together.items():
        wanted = np.concatenate([part[name] for part in apart])
        if got.shape != wanted.shape:
            return f"{name} is {list(got.shape)}, not {list(wanted.shape)}"
        ranked = ranks and got.ndim > 1  # near ties may change places
        if not _alike(got, wanted, near) and not (ranked and _alike(np.sort(got, 1), np.sort(wanted, 1), near)):
            return f"the values of {name} are others"
    return None


def _alike(got: Array, wanted: Array, near: float) -> bool:
    return bool(np.allclose(got.astype(np.float64), wanted.astype(np.float64), near, near))
