"""A standard detector file: an ONNX graph FRAMES -> DETECTIONS that describes itself.

What wildgate needs to know besides the tensors (name, labels, precision, origin) is kept as metadata properties in the
file, so that there is no second file to lose or mix up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto, ValueInfoProto

from wildgate_build.errors import NotStandardError
from wildgate_server.repository.releases import file_digest

__all__ = [
    "FRAMES_PROPERTY",
    "INPUT",
    "OUTPUT",
    "PRECISIONS",
    "Properties",
    "StandardFile",
    "described",
    "file_digest",
    "held_tensors",
    "standard_sizes",
    "write_properties",
]

INPUT: Final = "FRAMES"
OUTPUT: Final = "DETECTIONS"
PRECISIONS: Final = ("fp32", "fp16", "int8")

_PREFIX: Final = "wildgate."
FRAMES_PROPERTY: Final = f"{_PREFIX}frames"
"""The metadata property that has the F of engines, for graphs that take windows of any number of frames."""
_COLUMNS: Final = 6
_OF_INT8: Final = frozenset({"Cast", "Reshape", "Shape", "Slice"})


@dataclass(frozen=True)
class Properties:
    """What a standard file says about itself.

    `labels` are policy labels in the order of the class index; `family` is the architecture it was imported
    from; `source_digest` (`blake3:<hex>`) is the digest of the imported file.
    """

    name: str
    labels: tuple[str, ...]
    family: str
    source_digest: str
    precision: str


@dataclass(frozen=True)
class StandardFile:
    """A standard detector file, read and checked.

    FRAMES is [b, f, side, side, 3], DETECTIONS [b, f, detections, 6]: f is `frames` in engines, and any number where
    ONNX Runtime runs the file, unless the graph was made for `frames` alone.
    """

    path: Path
    digest: str
    properties: Properties
    frames: int
    side: int
    detections: int

    @classmethod
    def read(cls, path: Path) -> StandardFile:
        """Reads and checks the file's interface, not its weights.

        Raises NotStandardError when it cannot be read, has other tensors, takes FRAMES into anything but a Cast,
        keeps weights in another file, or lacks a property.
        """
        try:
            model = onnx.load(str(path), load_external_data=False)
        except FileNotFoundError:
            raise NotStandardError(f"{path}: there is no such file") from None
        except (OSError, DecodeError) as error:
            raise NotStandardError(f"{path}: cannot be read as ONNX: {error}") from error
        frames, side, detections = standard_sizes(path, model)
        _check_self_contained(path, model)
        return cls(path, file_digest(path), _properties(path, model), frames, side, detections)


def write_properties(model: ModelProto, properties: Properties) -> None:
    """Writes the properties into the model, in place of any it had.

    Raises ValueError when the precision is not one of PRECISIONS, or a label holds a comma.
    """
    if properties.precision not in PRECISIONS:
        raise ValueError(f"precision is {properties.precision!r}, not one of {', '.join(PRECISIONS)}")
    if commas := [label for label in properties.labels if "," in label]:
        raise ValueError(f"labels with a comma: {commas}")
    written = {**vars(properties), "labels": ",".join(properties.labels)}
    kept = {p.key: p.value for p in model.metadata_props}
    onnx.helper.set_model_props(model, kept | {_PREFIX + name: value for name, value in written.items()})


def described(tensor: ValueInfoProto) -> str:
    """Name, type and sizes, such as `images float [b,3,640,640]`; `?` for a size without a name."""
    number = tensor.type.tensor_type.elem_type
    known = number in TensorProto.DataType.values()
    kind = TensorProto.DataType.Name(number).lower() if known else f"type {number}"
    dims = ",".join(str(dim.dim_value or dim.dim_param or "?") for dim in tensor.type.tensor_type.shape.dim)
    return f"{tensor.name} {kind} [{dims}]"


def held_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """The tensors stored in the model: initializers and values of Constant nodes."""
    yield from model.graph.initializer
    for node in model.graph.node:
        yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))


def _properties(path: Path, model: ModelProto) -> Properties:
    held = {p.key.removeprefix(_PREFIX): p.value for p in model.metadata_props if p.key.startswith(_PREFIX)}
    if missing := [name for name in Properties.__dataclass_fields__ if not held.get(name)]:
        raise NotStandardError(f"{path}: has no metadata property {', '.join(_PREFIX + name for name in missing)}")
    if held["precision"] not in PRECISIONS:
        raise NotStandardError(
            f"{path}: wildgate.precision is {held['precision']!r}, not one of {', '.join(PRECISIONS)}"
        )
    labels = tuple(held["labels"].split(","))
    return Properties(held["name"], labels, held["family"], held["source_digest"], held["precision"])


def standard_sizes(path: Path, model: ModelProto) -> tuple[int, int, int]:
    """F, S and K of a standard graph, which was read from `path`.

    Raises NotStandardError unless the model takes FRAMES, into a Cast, and gives DETECTIONS, in their types and sizes,
    and where it takes any number of frames but does not say F.
    An INT8 file for CPUs may take FRAMES as they are, and cut them (`precision/pixels.py`, `precision/bars.py`).
    """
    initialised = {tensor.name for tensor in model.graph.initializer}
    inputs = [tensor for tensor in model.graph.input if tensor.name not in initialised]
    outputs = list(model.graph.output)
    found = ", ".join(map(described, inputs)) + " -> " + ", ".join(map(described, outputs))
    if [t.name for t in inputs] != [INPUT] or [t.name for t in outputs] != [OUTPUT]:
        raise NotStandardError(f"{path}: has {found}; a standard detector has {INPUT} -> {OUTPUT}")
    into, out = _dims(inputs[0]), _dims(outputs[0])
    if len(into) == 5 and len(out) == 4 and not into[1] and not out[1]:
        into[1] = out[1] = _frames_of_engines(path, model)
    kinds = inputs[0].type.tensor_type.elem_type, outputs[0].type.tensor_type.elem_type
    fits = (
        kinds == (TensorProto.UINT8, TensorProto.FLOAT)
        and len(into) == 5
        and len(out) == 4
        and all(size > 0 for size in into[1:] + out[1:])
        and into[2] == into[3]
        and (into[4], out[1], out[3]) == (3, into[1], _COLUMNS)
    )
    if not fits:
        wanted = f"{INPUT} uint8 [b,F,S,S,3] -> {OUTPUT} float [b,F,K,{_COLUMNS}]"
        raise NotStandardError(f"{path}: has {found}; a standard detector has {wanted}")
    taking = [node.op_type for node in model.graph.node if INPUT in node.input]
    if set(taking) != {"Cast"} and not (set(taking) <= _OF_INT8 and _is_int8(model)):
        into_what = ", ".join(dict.fromkeys(taking)) or "no node"
        raise NotStandardError(f"{path}: takes {INPUT} into {into_what}; TensorRT takes uint8 into a Cast only")
    return into[1], into[2], out[2]


def _frames_of_engines(path: Path, model: ModelProto) -> int:
    held = {p.key: p.value for p in model.metadata_props}.get(FRAMES_PROPERTY, "")
    if not (held.isascii() and held.isdecimal()):
        raise NotStandardError(f"{path}: has no metadata property {FRAMES_PROPERTY} that is a number")
    return int(held)


def _is_int8(model: ModelProto) -> bool:
    return any(p.key == f"{_PREFIX}precision" and p.value == "int8" for p in model.metadata_props)


def _check_self_contained(path: Path, model: ModelProto) -> None:
    """Raises NotStandardError for external weights: only this file is digested and published."""
    if outside := [tensor for tensor in held_tensors(model) if tensor.data_location == TensorProto.EXTERNAL]:
        where = {entry.value for tensor in outside for entry in tensor.external_data if entry.key == "location"}
        raise NotStandardError(
            f"{path}: keeps weights in {', '.join(sorted(where)) or 'another file'}; a standard detector holds its "
            "own: import it again"
        )


def _dims(tensor: ValueInfoProto) -> list[int]:
    """The sizes; 0 where one is not static."""
    return [dim.dim_value for dim in tensor.type.tensor_type.shape.dim]
