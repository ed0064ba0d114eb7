"""The command `wildgate-build import`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wildgate_build.console import fail, failures, say
from wildgate_build.importer.families.layout import Family
from wildgate_build.importer.importing import ImportPlan
from wildgate_build.importer.importing import import_detector as run
from wildgate_build.standard_graph import GraphShape
from wildgate_server.repository.manifest import MANIFEST_NAME, ManifestError, load_manifest

__all__ = ["import_detector"]

_REPOSITORY = Path("model_repository")


class ValueRange(StrEnum):
    """The range of pixel values that the network takes."""

    UNIT = "0-1"
    BYTES = "0-255"
    IMAGENET = "imagenet"


class Channels(StrEnum):
    """The order of the colour channels."""

    RGB = "rgb"
    BGR = "bgr"


class Activation(StrEnum):
    """How a DETR's logits become scores; for softmax, the last column is 'no object'."""

    AUTO = "auto"
    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"


def import_detector(
    model: Annotated[Path, typer.Argument(help="The detector, as its project exports it to ONNX.")],
    labels: Annotated[
        Path, typer.Option(help="One class a line, in order: 'tiger', 'tiger = live_tiger', or 'car = -' to ignore it.")
    ],
    name: Annotated[str, typer.Option(help="What to call the detector.")],
    output: Annotated[Path, typer.Option(help="The standard file to write.")],
    family: Annotated[Family, typer.Option(help="The layout of its outputs.")] = Family.AUTO,
    side: Annotated[int | None, typer.Option(help="S, pixels; default: the manifest's.", min=32, max=4096)] = None,
    frames: Annotated[int | None, typer.Option(help="F; default: the manifest's.", min=1, max=256)] = None,
    detections: Annotated[int | None, typer.Option(help="K; default: the manifest's.", min=1, max=1024)] = None,
    value_range: Annotated[
        ValueRange | None, typer.Option(help="What the network takes; default: as its family documents.")
    ] = None,
    channels: Annotated[
        Channels | None, typer.Option(help="What the network takes; default: as its family documents.")
    ] = None,
    detr_scores: Annotated[Activation, typer.Option(help="How a DETR's logits become scores.")] = Activation.AUTO,
    overlap: Annotated[
        float, typer.Option(help="IoU above which the worse of two boxes of a label is dropped.", min=0.0, max=1.0)
    ] = 0.55,
    least_score: Annotated[float, typer.Option(help="Scores up to this count as nothing.", min=0.0, max=1.0)] = 0.05,
    candidates: Annotated[
        int, typer.Option(help="Best places of a frame that suppression looks at.", min=1, max=3840)
    ] = 256,
    repository: Annotated[Path, typer.Option(help="The model repository whose manifest has F, S and K.")] = _REPOSITORY,
) -> None:
    """Bring a detector's ONNX file into the standard graph that every runtime takes."""
    s, f, k = _sizes(repository, side, frames, detections)
    plan = ImportPlan(
        model,
        labels,
        name,
        output,
        GraphShape(0, 0, f, s, k, candidates, overlap, least_score, rounds=16),
        family=None if family is Family.AUTO else family.value,
        values=value_range.value if value_range else None,
        channels=channels.value if channels else None,
        activation=detr_scores.value,
    )
    with failures():
        written = run(plan, say)
    say(f"{written.digest}: {', '.join(written.properties.labels)}")


def _sizes(repository: Path, side: int | None, frames: int | None, detections: int | None) -> tuple[int, int, int]:
    """S, F and K as given, or from the manifest, which is read only if needed."""
    if side is not None and frames is not None and detections is not None:
        return side, frames, detections
    try:
        held = load_manifest(repository / MANIFEST_NAME)
    except ManifestError as error:
        fail(f"{error} (or say --side, --frames and --detections)")
    return side or held.frame_side_px, frames or held.frames_per_window, detections or held.detections_per_frame
