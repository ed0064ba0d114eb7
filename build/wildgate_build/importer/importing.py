"""The way of an import: read, look, recognise, open the batch, assemble, check, write."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from onnx import ModelProto, helper

from wildgate_build.importer.assembly import assembled, core_graph
from wildgate_build.importer.batch import with_open_batch
from wildgate_build.importer.errors import ImportRefusedError, LayoutError
from wildgate_build.importer.families.layout import Layout, PictureFormat, Sighting
from wildgate_build.importer.labels import LabelMap, read_labels
from wildgate_build.importer.network import Network, fixed_network, look
from wildgate_build.importer.output import write_standard
from wildgate_build.importer.recognition import recognise
from wildgate_build.importer.self_check import check_core, check_seen, check_standard
from wildgate_build.importer.source import Source, read_source
from wildgate_build.importer.standard import check_labels, check_sizes, is_standard, standard_family
from wildgate_build.output_files import check_writable
from wildgate_build.standard_file import Properties, StandardFile, write_properties
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

    Raises ImportRefusedError in one of its kinds, NotStandardError for a file that has a standard graph's tensors by
    name alone, or OutputError; what lay at the output is still there then.
    """
    if not re.fullmatch(NAME_PATTERN, plan.name):
        raise ImportRefusedError(f"the name {plan.name!r} is not lower case letters, digits, '_', '.' and '-'")
    check_writable(plan.output, inputs=(plan.model, plan.labels))
    labels = read_labels(plan.labels)
    source = read_source(plan.model)
    if plan.family == "standard" or (plan.family is None and is_standard(source.model)):
        model, family = _passed_on(source, labels, plan)
    else:
        model, family = _built(source, labels, plan, tell)
    check_standard(model, plan.shape, len(labels.labels))
    properties = Properties(plan.name, labels.labels, family, source.digest, source.precision)
    write_properties(model, properties)
    written = write_standard(model, plan.output)
    tell(f"{family}, {source.precision}, opset {source.opset}, {len(labels.labels)} labels: wrote {plan.output}")
    return written


def _passed_on(source: Source, labels: LabelMap, plan: ImportPlan) -> tuple[ModelProto, str]:
    if not is_standard(source.model):
        raise LayoutError(f"{source.path}: is no standard graph, which takes FRAMES and gives DETECTIONS")
    check_sizes(source, plan.shape)
    check_labels(source.model, labels)
    return source.model, standard_family(source.model)


def _built(source: Source, labels: LabelMap, plan: ImportPlan, tell: Callable[[str], None]) -> tuple[ModelProto, str]:
    network = fixed_network(source.model, plan.shape.side)
    seen = look(network)
    check_seen(seen)
    sighting = Sighting(seen, network.side, labels.count, plan.activation)
    layout = recognise(sighting, plan.family)
    _check_classes(source, layout, labels)
    layout = replace(layout, pictures=_pictures(layout.pictures, plan))
    _describe(network, layout, plan, tell)
    network, changed = with_open_batch(network)
    if changed:
        tell(f"{changed} Reshape nodes held the batch size and were opened; batches give what single pictures give")
    core = core_graph(network, layout, labels, plan.shape.side)
    check_core(core, plan.shape.side)
    model = assembled(core, layout, labels, plan.shape)
    credit = {p.key: p.value for p in source.model.metadata_props if p.key in _CREDITS}
    helper.set_model_props(model, credit)
    return model, layout.family


def _check_classes(source: Source, layout: Layout, labels: LabelMap) -> None:
    """Raises LabelsError when labels.txt lists another number of classes than the network has, or its file names."""
    if layout.classes is not None:
        labels.check_count(layout.classes, "the network")
    elif source.named_classes is not None:
        labels.check_count(source.named_classes, f"{source.path} (its property 'names')")


def _pictures(documented: PictureFormat, plan: ImportPlan) -> PictureFormat:
    return PictureFormat(plan.channels or documented.channels, plan.values or documented.values)


def _describe(network: Network, layout: Layout, plan: ImportPlan, tell: Callable[[str], None]) -> None:
    tell(f"{layout.family}: {', '.join(layout.outputs)}, {layout.places} places a picture")
    tell(f"the network is fed {layout.pictures.channels.upper()} with values {layout.pictures.values}")
    if network.side != plan.shape.side:
        tell(f"frames of {plan.shape.side} pixels are resized to the network's {network.side} inside of the graph")
    for note in layout.notes:
        tell(note)
