"""An import from start to end: read, run once, recognise, open the batch, assemble, check, write."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from google.protobuf.message import EncodeError
from onnx import ModelProto

from wildgate_build.durable_files import check_writable, write_files
from wildgate_build.errors import ImportRefusedError, OutputError
from wildgate_build.importer.assembly import assembled, core_graph
from wildgate_build.importer.batch import with_open_batch
from wildgate_build.importer.families.layout import Layout, PictureFormat, TrialRun
from wildgate_build.importer.labels import LabelMap, read_labels
from wildgate_build.importer.network import Network, fixed_network, run_once
from wildgate_build.importer.recognition import recognise
from wildgate_build.importer.self_check import check_core, check_outputs, check_standard
from wildgate_build.importer.source import Source, read_source
from wildgate_build.standard_file import INPUT, OUTPUT, Properties, StandardFile, standard_sizes, write_properties
from wildgate_build.standard_graph import GraphShape
from wildgate_server.repository.releases import NAME_PATTERN

__all__ = ["ImportPlan", "import_detector"]

_CREDITS = ("author", "license", "description")  # properties of the source that stay with its weights


@dataclass(frozen=True)
class ImportPlan:
    """What to import, and how.

    `shape` has F, S, K and the constants of suppression; its places and labels are found out. `family`,
    `values` and `channels` are None to go by what the outputs look like and what that family's project documents;
    `activation` (auto, sigmoid, softmax) is of DETR scores.
    """

    model: Path
    labels: Path
    name: str
    output: Path
    shape: GraphShape
    family: str | None = None
    values: str | None = None
    channels: str | None = None
    activation: str = "auto"


def import_detector(plan: ImportPlan, tell: Callable[[str], None]) -> StandardFile:
    """Imports the detector and returns the file written; `tell` hears what was found and assumed.

    Raises ImportRefusedError, CannotRunError, NotStandardError for a file that has a standard graph's tensors by name
    alone, or OutputError; what lay at the output is still there then.
    """
    if not re.fullmatch(NAME_PATTERN, plan.name):
        raise ImportRefusedError(f"the name {plan.name!r} is not lower case letters, digits, '_', '.' and '-'")
    check_writable(plan.output, inputs=(plan.model, plan.labels))
    labels = read_labels(plan.labels)
    source = read_source(plan.model)
    if plan.family == "standard" or (plan.family is None and _is_standard(source.model)):
        model, family = _relabelled(source, labels, plan)
    else:
        model, family = _built(source, labels, plan, tell)
    check_standard(model, plan.shape, len(labels.labels))
    write_properties(model, Properties(plan.name, labels.labels, family, source.digest, source.precision))
    try:
        write_files({plan.output: model.SerializeToString()})
    except (EncodeError, ValueError) as error:  # more than the 2 GB of a protobuf message
        raise OutputError(f"{plan.output}: cannot be written: {error}") from error
    tell(f"{family}, {source.precision}, opset {source.opset}, {len(labels.labels)} labels: wrote {plan.output}")
    return StandardFile.read(plan.output)


def _is_standard(model: ModelProto) -> bool:
    """Whether the model has the tensors of a standard graph, by their names."""
    return [tensor.name for tensor in (*model.graph.input, *model.graph.output)] == [INPUT, OUTPUT]


def _relabelled(source: Source, labels: LabelMap, plan: ImportPlan) -> tuple[ModelProto, str]:
    """A standard file unchanged (its labels can only be renamed), and the family it came from."""
    if not _is_standard(source.model):
        raise ImportRefusedError(f"{source.path}: is not a standard graph, which takes {INPUT} and gives {OUTPUT}")
    told = [
        "{} frames of {} pixels with {} detections".format(*sizes)
        for sizes in (
            standard_sizes(source.path, source.model),
            (plan.shape.frames, plan.shape.side, plan.shape.detections),
        )
    ]
    if told[0] != told[1]:
        raise ImportRefusedError(f"{source.path}: is made for {told[0]}; wanted is {told[1]}")
    held = {p.key: p.value for p in source.model.metadata_props}
    if before := held.get("wildgate.labels") or held.get("labels"):
        labels.check_count(len(before.split(",")), "the standard file")
    if labels.merges or len(labels.labels) != labels.count:
        raise ImportRefusedError(
            f"{labels.path}: merges or ignores classes; in a standard file labels can be renamed only. "
            "Import the detector's own file for that"
        )
    return source.model, held.get("wildgate.family") or "standard"


def _built(source: Source, labels: LabelMap, plan: ImportPlan, tell: Callable[[str], None]) -> tuple[ModelProto, str]:
    network = fixed_network(source.model, plan.shape.side)
    outputs = run_once(network)
    check_outputs(outputs)
    layout = recognise(TrialRun(outputs, network.side, labels.count, plan.activation), plan.family)
    if layout.classes is not None:
        labels.check_count(layout.classes, "the network")
    elif source.named_classes is not None:
        labels.check_count(source.named_classes, f"{source.path} (its property 'names')")
    documented = layout.pictures
    pictures = PictureFormat(plan.channels or documented.channels, plan.values or documented.values)
    layout = replace(layout, pictures=pictures)
    _describe(network, layout, plan, tell)
    network, changed = with_open_batch(network)
    if changed:
        tell(f"{changed} Reshape nodes held the batch size and were opened; batches give what single pictures give")
    core = core_graph(network, layout, labels, plan.shape.side)
    check_core(core, plan.shape.side)
    credit = {p.key: p.value for p in source.model.metadata_props if p.key in _CREDITS}
    return assembled(core, layout, labels, plan.shape, credit), layout.family


def _describe(network: Network, layout: Layout, plan: ImportPlan, tell: Callable[[str], None]) -> None:
    tell(f"{layout.family}: {', '.join(layout.outputs)}, {layout.places} places a picture")
    tell(f"the network is fed {layout.pictures.channels.upper()} with values {layout.pictures.values}")
    if network.side != plan.shape.side:
        tell(f"frames of {plan.shape.side} pixels are resized to the network's {network.side} inside the graph")
    for note in layout.notes:
        tell(note)
