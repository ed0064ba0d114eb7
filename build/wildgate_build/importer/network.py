"""The network to import, with one batch of pictures of a fixed side as its input, and its outputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from wildgate_build.errors import ImportRefusedError
from wildgate_build.onnx_session import Array, run
from wildgate_build.standard_file import described

__all__ = ["Network", "Output", "fixed_network", "run_once"]

_PICTURE_KINDS: Final = (TensorProto.FLOAT, TensorProto.FLOAT16)
_CHANNELS: Final = 3


@dataclass(frozen=True)
class Network:
    """A network whose only input is `picture`, [batch, 3, side, side]; `half` where that is float16.

    `batch` is the number of pictures that the file fixes, None where it leaves it open.
    """

    model: ModelProto
    picture: str
    side: int
    half: bool
    batch: int | None

    def noise(self, pictures: int, seed: int = 0) -> dict[str, Array]:
        """Random pictures with values from 0 to 1, to run the network on."""
        shape = pictures, _CHANNELS, self.side, self.side
        values = np.random.default_rng(seed).random(shape, np.float32)
        return {self.picture: values.astype(np.float16) if self.half else values}


@dataclass(frozen=True)
class Output:
    """An output of a run: its name, its values, and the operators that led to it.

    `head` names the operators between the last convolutions and this output, along data, not along shapes.
    """

    name: str
    values: Array
    head: frozenset[str]

    @property
    def dims(self) -> tuple[int, ...]:
        """The sizes, the first of them the batch."""
        return self.values.shape

    @property
    def is_float(self) -> bool:
        """Whether it holds floating-point numbers."""
        return bool(np.issubdtype(self.values.dtype, np.floating))

    def __str__(self) -> str:
        return f"{self.name} {self.values.dtype} [B,{','.join(map(str, self.dims[1:]))}]"


def fixed_network(model: ModelProto, side: int) -> Network:
    """Fixes the sizes of the picture input: what the file leaves open becomes `side` pixels.

    An input `orig_target_sizes` [B, 2], as RT-DETR and D-FINE export it, is filled in with the network's side,
    which makes pixels of the network of their boxes.

    Raises ImportRefusedError when the network takes anything but one square colour picture, channels first.
    """
    fixed = ModelProto()
    fixed.CopyFrom(model)
    model = fixed
    pictures = [tensor for tensor in model.graph.input if len(_dims(tensor)) == 4]
    others = [tensor for tensor in model.graph.input if len(_dims(tensor)) != 4]
    seen = ", ".join(map(described, model.graph.input)) or "nothing"
    if len(pictures) != 1 or any(not _is_target_size(tensor) for tensor in others):
        raise ImportRefusedError(
            f"the network takes {seen}; a detector takes one picture float [B,3,H,W], besides it only "
            "orig_target_sizes [B,2]"
        )
    picture = pictures[0]
    batch, channels, height, width = _dims(picture)
    kind = picture.type.tensor_type.elem_type
    if kind not in _PICTURE_KINDS or channels not in (None, _CHANNELS):
        raise ImportRefusedError(f"the network takes {seen}; a picture is float32 or float16 [B,3,H,W], channels first")
    height, width = height or width or side, width or height or side
    if height != width:
        raise ImportRefusedError(f"the network takes {seen}: {width}x{height} pixels; wildgate's frames are square")
    _set_dims(picture, [batch or "n", _CHANNELS, height, width])
    for tensor in others:
        _fill(model.graph, tensor, height)
    _forget_shapes(model.graph)
    return Network(model, picture.name, height, kind == TensorProto.FLOAT16, batch)


def run_once(network: Network) -> tuple[Output, ...]:
    """Runs the network on noise and returns its outputs. Raises CannotRunError."""
    (values,) = run(network.model, network.noise(network.batch or 1))
    return tuple(Output(name, array, _head(network.model.graph, name)) for name, array in values.items())


def _dims(tensor: ValueInfoProto) -> list[int | None]:
    """The sizes, None for one left open."""
    return [dim.dim_value if dim.dim_value > 0 else None for dim in tensor.type.tensor_type.shape.dim]


def _set_dims(tensor: ValueInfoProto, dims: Iterable[int | str]) -> None:
    kind = tensor.type.tensor_type.elem_type
    tensor.CopyFrom(helper.make_tensor_value_info(tensor.name, kind, list(dims)))


def _forget_shapes(graph: GraphProto) -> None:
    """Drops the shapes noted by the exporter: they only hold for the sizes it saw."""
    del graph.value_info[:]
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")


def _is_target_size(tensor: ValueInfoProto) -> bool:
    dims = _dims(tensor)
    kinds = TensorProto.INT64, TensorProto.INT32, TensorProto.FLOAT
    return len(dims) == 2 and dims[1] in (None, 2) and tensor.type.tensor_type.elem_type in kinds


def _fill(graph: GraphProto, tensor: ValueInfoProto, side: int) -> None:
    """Turns an input into the constant [1, 2] (side, side), which serves every picture of the batch."""
    kind = helper.tensor_dtype_to_np_dtype(tensor.type.tensor_type.elem_type)
    graph.initializer.append(numpy_helper.from_array(np.full((1, 2), side, kind), tensor.name))
    graph.input.remove(tensor)


def _head(graph: GraphProto, output: str) -> frozenset[str]:
    made_by: dict[str, NodeProto] = {name: node for node in graph.node for name in node.output}
    operators: set[str] = set()
    waiting, met = [output], {output}
    while waiting:
        node = made_by.get(waiting.pop())
        if node is None or node.op_type in ("Conv", "Shape"):
            continue
        operators.add(node.op_type)
        data = node.input[:1] if node.op_type in ("Reshape", "Slice", "Expand", "Gather", "Tile") else node.input
        waiting.extend(name for name in data if name not in met)
        met.update(data)
    return frozenset(operators)
