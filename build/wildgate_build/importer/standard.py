"""Files that are standard already: checked, given new labels, passed on."""

from __future__ import annotations

from onnx import ModelProto

from wildgate_build.importer.errors import LabelsError, LayoutError
from wildgate_build.importer.labels import LabelMap
from wildgate_build.importer.source import Source
from wildgate_build.standard_file import standard_sizes
from wildgate_build.standard_graph import GraphShape

__all__ = ["check_labels", "check_sizes", "is_standard", "standard_family"]


def is_standard(model: ModelProto) -> bool:
    """Whether the model has the tensors FRAMES and DETECTIONS of a standard graph, by their names."""
    ends = [tensor.name for tensor in (*model.graph.input, *model.graph.output)]
    return ends == ["FRAMES", "DETECTIONS"]


def check_sizes(source: Source, shape: GraphShape) -> None:
    """Raises NotStandardError when the file is no standard graph, LayoutError when it is one of other sizes."""
    held, wanted = standard_sizes(source.path, source.model), (shape.frames, shape.side, shape.detections)
    if held != wanted:
        raise LayoutError(f"{source.path}: is made for {_told(held)}; wanted is {_told(wanted)}")


def check_labels(model: ModelProto, labels: LabelMap) -> None:
    """Raises LabelsError when labels.txt lists another number of classes, or merges or drops one."""
    held = next((p.value for p in model.metadata_props if p.key in ("wildgate.labels", "labels")), None)
    if held is not None:
        labels.check_count(len(held.split(",")), "the standard file")
    if labels.merges or len(labels.labels) != labels.count:
        raise LabelsError(
            f"{labels.path}: merges or ignores classes; in a standard file labels can be renamed only. "
            "Import the detector's own file for that"
        )


def standard_family(model: ModelProto) -> str:
    """The family that the file says it came from; `standard` where it says none."""
    return next((p.value for p in model.metadata_props if p.key == "wildgate.family"), "") or "standard"


def _told(sizes: tuple[int, int, int]) -> str:
    frames, side, detections = sizes
    return f"{frames} frames of {side} pixels with {detections} detections"
